/**
 * Badmail's desk: what operators look at, put back on its way, or remove. What was a message goes straight back into the spool under its own id, without the
 * sinks of the session that put it here being asked again; what never was one, or is to be asked about again, goes through the entrance.
 */
import { splitMessage } from "../mail/header.ts";
import { formatMailbox, type Mailbox, parseMailbox } from "../mail/mailbox.ts";
import type { Body, Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail, BadMailEntry } from "../spool/badmail.ts";
import type { BadMailRecord } from "../spool/badmail-record.ts";
import type { Spool } from "../spool/spool.ts";
import { decodeMessage } from "../spool/stored-message.ts";
import type { Entrance } from "./entrance.ts";
import { addressedByPickup } from "./pickup-envelope.ts";

export interface BadMailDeskOptions {
  readonly badmail: BadMail;
  readonly spool: Spool;
  readonly entrance: Pick<Entrance, "submit" | "readmit">;
  readonly clock: Clock;
  readonly log: Log;
}

/** All that is given has to hold. */
export interface BadMailSelection {
  readonly ids?: readonly string[];
  /** Since it came there. */
  readonly olderThanMs?: number;
  /** Whose verdict it was. */
  readonly binding?: string;
}

export interface BadMailItem {
  readonly id: string;
  /** `<>` for the null reverse-path; null where it is not known. */
  readonly from: string | null;
  readonly to: readonly string[];
  /** RFC 3339. */
  readonly receivedAt: string | null;
  readonly quarantinedAt: string | null;
  readonly sizeOctets: number;
  readonly reason: string;
  readonly binding: string | null;
  readonly rule: string | null;
  /** Code of the fault that led here. */
  readonly fault: string | null;
  /** Entrance or listener it came by. */
  readonly origin: string | null;
  /** Name of the pickup file it was. */
  readonly file: string | null;
  /** What is wrong with the folder itself. Such a one can be removed and not released. */
  readonly problem: string | null;
}

export interface BadMailChange {
  readonly ids: readonly string[];
  readonly skipped: readonly { readonly id: string; readonly reason: string }[];
}

export interface ReleaseOptions {
  /** These in the place of the recipients it had. */
  readonly to?: readonly string[];
  /** Asks the sinks of the session again, as for a message that comes in. */
  readonly again?: boolean;
}

export class BadMailDesk {
  readonly #options: BadMailDeskOptions;
  /** Ids that are being released. */
  readonly #underWay = new Set<string>();

  constructor(options: BadMailDeskOptions) {
    this.#options = options;
  }

  /** Oldest first, `total` beyond the limit too. */
  async list(
    selection: BadMailSelection,
    { limit }: { readonly limit: number },
  ): Promise<{ readonly items: readonly BadMailItem[]; readonly total: number }> {
    const items: BadMailItem[] = [];
    let total = 0;
    for await (const entry of this.#select(selection)) if (total++ < limit) items.push(itemOf(entry));
    return { items, total };
  }

  async show(id: string): Promise<BadMailItem | undefined> {
    const entry = await this.#options.badmail.find(id);
    return entry && itemOf(entry);
  }

  /** The octets of one, or of its header; undefined where there is none. @throws {Fault} `badmail.unreadable`, `spool.failed` */
  async content(id: string, part: "header" | "raw"): Promise<AsyncIterable<Buffer> | undefined> {
    const { badmail } = this.#options;
    if (!(await badmail.has(id))) return undefined;
    const body = await badmail.octets(id);
    return part === "raw" ? body.chunks() : headerOf(body);
  }

  /** Puts messages back on their way, one after the other; those that cannot be stay where they are. */
  async release(ids: readonly string[], options: ReleaseOptions = {}): Promise<BadMailChange> {
    const to = options.to ? options.to.map(parseMailbox) : null;
    return await this.#each(ids, (id) => this.#release(id, to, options.again ?? false));
  }

  async remove(selection: BadMailSelection, { dryRun }: { readonly dryRun: boolean }): Promise<BadMailChange> {
    const { badmail, log } = this.#options;
    const ids: string[] = [];
    for await (const { id } of this.#select(selection)) ids.push(id);
    if (dryRun) return { ids, skipped: [] };
    return await this.#each(ids, async (id) => {
      await badmail.remove(id);
      log.info("badmail.removed", { message: id, why: "operator" });
    });
  }

  async *#select({ ids, olderThanMs, binding }: BadMailSelection): AsyncGenerator<BadMailEntry> {
    const { badmail, clock } = this.#options;
    for (const id of ids ?? (await badmail.ids())) {
      const entry = await badmail.find(id);
      if (entry === undefined) continue;
      if (olderThanMs !== undefined && clock.now() - entry.at < olderThanMs) continue;
      if (binding !== undefined && entry.record?.binding !== binding) continue;
      yield entry;
    }
  }

  async #each(ids: readonly string[], work: (id: string) => Promise<void>): Promise<BadMailChange> {
    const done: string[] = [];
    const skipped: { readonly id: string; readonly reason: string }[] = [];
    for (const id of ids) {
      try {
        await work(id);
        done.push(id);
      } catch (error) {
        skipped.push({ id, reason: describeThrown(error) });
      }
    }
    return { ids: done, skipped };
  }

  /** @throws {Fault} why it stays where it is */
  async #release(id: string, to: readonly Mailbox[] | null, again: boolean): Promise<void> {
    if (this.#underWay.has(id)) throw inQueue(id);
    this.#underWay.add(id);
    try {
      const { badmail, spool, log } = this.#options;
      const record = await this.#releasable(id);
      // Killed between the spool's word and the removal, it is in both.
      if ((await spool.find(id)) !== undefined) throw inQueue(id);
      const message = again ? null : await this.#messageOf(record, to);
      if (message) await this.#readmit(message);
      else await this.#submit(record, to);
      crashPoint("release.accepted");
      log.info("badmail.released", { message: id, again, ...(to && { to: to.map(formatMailbox) }) });
      // It is on its way: that it is here too is said, and is no failure of the release.
      await badmail.remove(id).catch((error: unknown) => {
        log.error("badmail.not-cleaned", { message: id, reason: describeThrown(error) });
      });
    } finally {
      this.#underWay.delete(id);
    }
  }

  /** @throws {Fault} `badmail.unknown`, `badmail.unreadable` */
  async #releasable(id: string): Promise<BadMailRecord> {
    const entry = await this.#options.badmail.find(id);
    if (entry === undefined) throw new Fault("badmail.unknown", `Cannot find ${id} in badmail`);
    const { record, problem } = entry;
    if (record !== null && problem === null) return record;
    throw new Fault("badmail.unreadable", `Cannot release ${id}: ${problem ?? "it has no record"}`);
  }

  async #readmit({ message, discard }: ReadMessage): Promise<void> {
    try {
      await this.#options.entrance.readmit(message, { released: true });
    } catch (error) {
      await discard();
      throw error;
    }
  }

  /** What was released before is asked about like any other. @throws {Fault} `submission.malformed` where it is refused, deferred or quarantined again */
  async #submit({ id, message }: BadMailRecord, to: readonly Mailbox[] | null): Promise<void> {
    const octets = (await this.#options.badmail.octets(id)).chunks();
    const envelope = message && { ...message.envelope, ...(to && { recipients: to.map((mailbox) => ({ mailbox })) }) };
    const result = await this.#options.entrance.submit({
      origin: "release",
      // Its own id, so that a second release finds it in the queue. What is quarantined again stays where it is.
      id,
      envelope: envelope ?? ((header) => addressedByPickup(header, to)),
      octets: octets as AsyncIterable<Buffer>,
      facts: { released: id },
      ...(message && { notes: withoutRelease(message.notes), user: message.origin.user }),
    });
    if (result.kind === "refused" || result.kind === "deferred")
      throw new Fault("submission.malformed", `Cannot release ${id}: ${result.reason}`);
    if (result.kind === "quarantined")
      throw new Fault("submission.malformed", `Cannot release ${id}: it was quarantined again`);
  }

  /** The message as it was kept, its body on the way into the spool; null where there never was one. Its time in the queue begins now. */
  async #messageOf({ id, message }: BadMailRecord, to: readonly Mailbox[] | null): Promise<ReadMessage | null> {
    if (message === null) return null;
    const { badmail, spool, clock } = this.#options;
    const { headerOctets, separatorOctets } = message.parts ?? partsOf(await (await badmail.octets(id)).octets());
    const writer = spool.createBody();
    try {
      const head = await parted(await badmail.octets(id), headerOctets + separatorOctets, (chunk) =>
        writer.write(chunk),
      );
      const now = clock.now();
      const recipients = to ? to.map((mailbox) => ({ mailbox })) : message.envelope.recipients;
      const content = {
        id,
        receivedAt: now,
        envelope: { ...message.envelope, recipients },
        origin: JSON.stringify(message.origin),
        notes: JSON.stringify({ ...message.notes, released: now }),
        header: head.subarray(0, headerOctets),
        separator: head.subarray(headerOctets),
      };
      return { message: decodeMessage(content, await writer.finish()), discard: () => writer.discard() };
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }
}

function withoutRelease({ released: _released, ...notes }: Message["notes"]): Message["notes"] {
  return notes;
}

function inQueue(id: string): Fault {
  return new Fault("badmail.in-queue", `Cannot release ${id}: the queue has it, or is being given it`);
}

interface ReadMessage {
  readonly message: Message;
  /** Where it did not come into custody after all. */
  readonly discard: () => Promise<void>;
}

/** The first octets in one piece; what follows goes to `rest`. @throws {Fault} `badmail.unreadable` where there are not as many */
async function parted(
  body: Body,
  headOctets: number,
  rest: (chunk: Buffer) => Promise<void> | undefined,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let missing = headOctets;
  for await (const chunk of body.chunks()) {
    const piece = chunk.subarray(0, missing);
    if (piece.length > 0) pieces.push(piece);
    missing -= piece.length;
    if (piece.length < chunk.length) await rest(chunk.subarray(piece.length));
  }
  if (missing > 0) throw new Fault("badmail.unreadable", "Cannot read the message: it is shorter than its record says");
  return Buffer.concat(pieces);
}

function partsOf(octets: Buffer): { readonly headerOctets: number; readonly separatorOctets: number } {
  const { header, separator, body } = splitMessage(octets);
  // A separator that is not in the octets is ours to add, not theirs to have.
  const separatorOctets = octets.length - header.octets.length - body.length;
  return { headerOctets: header.octets.length, separatorOctets: Math.min(separatorOctets, separator.length) };
}

/** Octets that are looked through for the end of a header. */
const headerOctetsMax = 1024 * 1024;

async function* headerOf(body: Body): AsyncGenerator<Buffer> {
  const pieces: Buffer[] = [];
  let octets = 0;
  for await (const chunk of body.chunks()) {
    pieces.push(chunk);
    octets += chunk.length;
    if (octets >= headerOctetsMax) break;
  }
  const { header } = splitMessage(Buffer.concat(pieces));
  yield header.octets;
}

function itemOf({ id, record, problem, sizeOctets }: BadMailEntry): BadMailItem {
  const message = record?.message ?? null;
  return {
    id,
    from: message && formatReversePath(message.envelope.reversePath),
    to: message?.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)) ?? [],
    receivedAt: record && new Date(record.receivedAt).toISOString(),
    quarantinedAt: record && new Date(record.quarantinedAt).toISOString(),
    sizeOctets,
    reason: record?.reason ?? "",
    binding: record?.binding ?? null,
    rule: record?.rule ?? null,
    fault: record?.fault ?? null,
    origin: message?.origin.listener ?? (record ? "pickup" : null),
    file: record?.file ?? null,
    problem,
  };
}
