/** What the control socket lets an operator do, by hand: it keeps what it was asked and answers with what a test gives it. Parts of each can be replaced. */
import type { BadMailControl, BadMailView } from "../../src/admin/badmail-control.ts";
import type { DestinationView, QueueControl, QueueItemView } from "../../src/admin/queue-control.ts";
import type { RouteControl, RouteView } from "../../src/admin/route-control.ts";
import type { SubmitControl, SubmitRequest } from "../../src/admin/submit-control.ts";
import { Header, splitMessage } from "../../src/mail/header.ts";
import { formatMailbox } from "../../src/mail/mailbox.ts";
import { formatReversePath } from "../../src/mail/path.ts";

export const firstId = "0000000000000001";
export const secondId = "0000000000000002";

const recipient = {
  attempts: 0,
  nextAttemptAt: null,
  lastOutcome: "",
  destination: null,
  heldBy: null,
} as const;

/** One delivered, one deferred recipient; the peer's words hold an escape sequence. */
export const deferredItem: QueueItemView = {
  id: firstId,
  from: "a@example.com",
  receivedAt: "2026-11-02T09:30:00.000Z",
  expiresAt: "2026-11-07T09:30:00.000Z",
  sizeOctets: 2_345,
  running: false,
  recipients: [
    { ...recipient, address: "b@example.test", state: "delivered", attempts: 1, lastOutcome: "delivered" },
    {
      ...recipient,
      address: "c@example.org",
      state: "queued",
      attempts: 2,
      nextAttemptAt: "2026-11-02T09:45:00.000Z",
      lastOutcome: "451 4.3.0 later\u001b[31m",
      destination: "mx:example.org",
    },
  ],
};

/** Three recipients, of whom all are held, with a long address. */
export const heldItem: QueueItemView = {
  id: secondId,
  from: "<>",
  receivedAt: "2026-11-02T09:38:00.000Z",
  expiresAt: null,
  sizeOctets: 700,
  running: false,
  recipients: ["a.person.with.a.very.long.name.indeed@mail.example.net", "d@example.org", "e@example.org"].map(
    (address) => ({
      ...recipient,
      address,
      state: "queued",
      heldBy: "operator",
      lastOutcome: "held: looks odd",
      destination: "smarthost",
    }),
  ),
};

export const destination: DestinationView = {
  name: "mx:example.org",
  waiting: 12,
  running: 1,
  due: 3,
  connectionsMax: 2,
  rate: { times: 100, withinMs: 3_600_000 },
  backOffUntil: null,
  suspendedUntil: null,
  lastFailure: null,
  shapedBy: "operator",
};

export function fakeQueueControl(parts: Partial<QueueControl> = {}): QueueControl & { readonly asked: unknown[][] } {
  const asked: unknown[][] = [];
  const items = [deferredItem, heldItem];
  return {
    asked,
    async list(selection, page) {
      asked.push(["list", selection, page]);
      const found = items.filter(({ id }) => selection.ids?.includes(id) ?? true);
      return { items: found.slice(page.offset, page.offset + page.limit), total: found.length };
    },
    show: async (id) => items.find((item) => item.id === id),
    content: async (id, part) =>
      id === firstId
        ? [Buffer.from("Subject: x\r\n"), Buffer.from(part === "raw" ? "\r\nh\xe9llo\r\n" : "", "latin1")]
        : undefined,
    async change(verb, selection, options) {
      asked.push([verb, selection, options]);
      const found = items.filter(({ id }) => selection.ids?.includes(id) ?? true);
      return { messages: found.length, recipients: found.length * 2, ids: found.map(({ id }) => id), skipped: [] };
    },
    destinations: () => [{ ...destination, name: "local", waiting: 0, running: 0, due: 0 }, destination],
    async shape(name, change) {
      asked.push(["shape", name, change]);
      return { ...destination, name };
    },
    ...parts,
  };
}

export const badMail: BadMailView = {
  id: firstId,
  from: "eve@example.net",
  to: ["ann@example.test", "bob@example.test"],
  receivedAt: "2026-11-01T09:30:00.000Z",
  quarantinedAt: "2026-11-01T09:30:01.000Z",
  sizeOctets: 4_000,
  reason: "looks like\u001b[31m spam",
  binding: "scripts/spam.ts#onArrival",
  rule: "CLIENT=192.0.2.0/24",
  fault: null,
  origin: "mx",
  file: null,
  problem: null,
};

export function fakeBadMailControl(
  parts: Partial<BadMailControl> = {},
): BadMailControl & { readonly asked: unknown[][] } {
  const asked: unknown[][] = [];
  return {
    asked,
    async list(selection, page) {
      asked.push(["list", selection, page]);
      return { items: [badMail], total: 1 };
    },
    show: async (id) => (id === firstId ? badMail : undefined),
    content: async (id, part) => (id === firstId ? [Buffer.from(part)] : undefined),
    async release(ids, options) {
      asked.push(["release", ids, options]);
      return {
        ids: ids.filter((id) => id === firstId),
        skipped: ids.filter((id) => id !== firstId).map((id) => ({ id, reason: "it is not here" })),
      };
    },
    async remove(selection, options) {
      asked.push(["remove", selection, options]);
      return { ids: [firstId], skipped: [] };
    },
    ...parts,
  };
}

export const routeView: RouteView = {
  address: "team@example.test",
  resolution: [{ by: "server/categorizer", words: "an alias of two" }],
  expandedTo: [
    {
      address: "ann@example.test",
      resolution: [],
      expandedTo: [],
      route: { hop: "maildir", by: "local domain", destination: "local" },
      error: null,
    },
    {
      address: "bob@example.org",
      resolution: [],
      expandedTo: [],
      route: {
        hop: "mx",
        by: "remote",
        destination: "mx:example.org",
        targets: [
          { host: "mx1.example.org", addresses: ["192.0.2.1", "2001:db8::1"], tls: "dane" },
          { host: "mx2.example.org", addresses: [], tls: "opportunistic" },
        ],
      },
      error: null,
    },
  ],
  route: null,
  error: null,
};

export function fakeRouteControl(parts: Partial<RouteControl> = {}): RouteControl & { readonly asked: unknown[][] } {
  const asked: unknown[][] = [];
  return {
    asked,
    async route(address, options) {
      asked.push([address, options]);
      return { ...routeView, address };
    },
    ...parts,
  };
}

/** What a control was handed, read to its end, with the envelope as its header makes it. */
export interface SubmittedMail {
  readonly origin: string;
  readonly user: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly options: unknown;
  readonly recipientOptions: unknown;
  readonly octets: string;
  readonly headerNames: readonly string[];
}

export function fakeSubmitControl(
  parts: Partial<SubmitControl> = {},
): SubmitControl & { readonly mails: SubmittedMail[]; readonly aborted: unknown[] } {
  const mails: SubmittedMail[] = [];
  const aborted: unknown[] = [];
  return {
    mails,
    aborted,
    async submit(request) {
      try {
        mails.push(await readAll(request));
      } catch (error) {
        aborted.push(error);
        throw error;
      }
      return { kind: "accepted", id: firstId };
    },
    ...parts,
  };
}

async function readAll({ origin, user, envelope, octets }: SubmitRequest): Promise<SubmittedMail> {
  const pieces: Buffer[] = [];
  for await (const piece of octets) pieces.push(piece);
  const data = Buffer.concat(pieces);
  const { header } = splitMessage(data);
  const read = typeof envelope === "function" ? envelope(header) : { envelope, header: new Header(header.fields) };
  return {
    origin,
    user,
    from: formatReversePath(read.envelope.reversePath),
    to: read.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)),
    options: read.envelope.options ?? null,
    recipientOptions: read.envelope.recipients[0]?.options ?? null,
    octets: data.toString("latin1"),
    headerNames: read.header.fields.map(({ name }) => name),
  };
}
