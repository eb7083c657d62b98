/**
 * The queue in the operator's hands, over the control socket: what it shows, what can be done to it, and the routes. The composition root implements
 * the port; everything here is plain data that goes out as JSON, with names that stay.
 */
import { Hono } from "hono";
import { Fault } from "../platform/fault.ts";
import { isTable } from "../platform/value.ts";
import { guardRequests, readCount, readObject, readWords } from "./control-request.ts";
import { type QueueSelection, readSelection, selectsAll } from "./queue-selection.ts";
import { summarize, summaryKeys } from "./queue-summary.ts";

export interface QueueRecipientView {
  readonly address: string;
  readonly state: "queued" | "delivered" | "failed";
  readonly attempts: number;
  /** RFC 3339; null where no attempt is to come by itself. */
  readonly nextAttemptAt: string | null;
  /** "" before the first attempt. */
  readonly lastOutcome: string;
  /** Where it goes, as the list of destinations names it; null where nothing is to come. */
  readonly destination: string | null;
  /** Who holds it: `operator` until it is released, `route` until a route lets it go. */
  readonly heldBy: "operator" | "route" | null;
}

export interface QueueItemView {
  readonly id: string;
  /** `<>` for the null reverse-path. */
  readonly from: string;
  /** RFC 3339. */
  readonly receivedAt: string;
  /** RFC 3339: when it is given up, where it is not delivered before. */
  readonly expiresAt: string | null;
  readonly sizeOctets: number;
  /** Whether an attempt is under way for some of the recipients. */
  readonly running: boolean;
  readonly recipients: readonly QueueRecipientView[];
  /** Versions of scripts that had a part in it; only where one message is shown. */
  readonly scripts?: readonly { readonly script: string; readonly version: string; readonly event: string }[];
}

export interface QueuePage {
  /** Oldest first. */
  readonly items: readonly QueueItemView[];
  /** Messages that match, those beyond the limit too. */
  readonly total: number;
}

export const queueVerbs = ["retry", "hold", "release", "bounce", "remove", "requeue"] as const;
export type QueueVerb = (typeof queueVerbs)[number];

/** What a change did, or would do. */
export interface QueueChange {
  readonly messages: number;
  readonly recipients: number;
  /** The first 1,000. */
  readonly ids: readonly string[];
  /** What matched and could not be changed. */
  readonly skipped: readonly { readonly id: string; readonly reason: string }[];
}

export interface QueueChangeOptions {
  /** Says what it would do and does nothing. */
  readonly dryRun: boolean;
  /** `hold`: why, for whoever looks later. */
  readonly reason?: string;
  /** `bounce`: what the sender is told. */
  readonly text?: string;
}

export interface DestinationView {
  readonly name: string;
  /** Messages that wait, those due among them; what the operator holds is not. */
  readonly waiting: number;
  /** Attempts under way. */
  readonly running: number;
  readonly due: number;
  /** Attempts at a time. */
  readonly connectionsMax: number;
  readonly rate: { readonly times: number; readonly withinMs: number } | null;
  /** RFC 3339: nobody could be reached there, and until then nobody tries. */
  readonly backOffUntil: string | null;
  /** RFC 3339; `resumed`: until an operator resumes it. */
  readonly suspendedUntil: string | null;
  readonly lastFailure: { readonly at: string; readonly reason: string } | null;
  /** Who set other limits than everybody's. */
  readonly shapedBy: "config" | "operator" | null;
}

/** What is absent stays as it is; null is the default again. */
export interface DestinationChange {
  readonly connectionsMax?: number | null;
  readonly rate?: { readonly times: number; readonly withinMs: number } | null;
  /** `forMs` null: until it is resumed. null in the place of it all: resume. */
  readonly suspend?: { readonly forMs: number | null } | null;
  /** Ends the back-off. */
  readonly wake?: true;
}

export interface QueueControl {
  list(selection: QueueSelection, page: { readonly limit: number; readonly offset: number }): Promise<QueuePage>;
  show(id: string): Promise<QueueItemView | undefined>;
  /** The octets of a message or of its header; undefined where it is gone. */
  content(id: string, part: "header" | "raw"): Promise<Iterable<Uint8Array> | AsyncIterable<Uint8Array> | undefined>;
  change(verb: QueueVerb, selection: QueueSelection, options: QueueChangeOptions): Promise<QueueChange>;
  destinations(): readonly DestinationView[];
  shape(name: string, change: DestinationChange): Promise<DestinationView>;
}

const limitDefault = 1_000;
export const queueLimitMax = 100_000;
const wordsLengthMax = 480;
const monthMs = 31 * 86_400_000;

/** `/api/v1/queue` with what is below it, and `/api/v1/destinations`. */
export function createQueueApi(control: QueueControl, nowMs: () => number = Date.now): Hono {
  const api = new Hono();
  guardRequests(api, ["/api/v1/queue/*", "/api/v1/destinations/*"]);
  api.get("/api/v1/queue", async (context) => {
    const { limit: limitText, offset: offsetText, ...query } = context.req.query();
    const limit = readCount(limitText, { name: "limit", min: 1, max: queueLimitMax }) ?? limitDefault;
    const offset = readCount(offsetText, { name: "offset", min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0;
    return context.json(await control.list(selectionOf(query), { limit, offset }));
  });
  api.get("/api/v1/queue/summary", async (context) => {
    const { by: byText = "domain", ...query } = context.req.query();
    const by = summaryKeys.find((key) => key === byText);
    if (!by) throw new Fault("control.invalid", `by: expected ${summaryKeys.join(", ")}`);
    const { items, total } = await control.list(selectionOf(query), { limit: queueLimitMax, offset: 0 });
    return context.json(summarize(items, { by, nowMs: nowMs(), messages: total }));
  });
  api.get("/api/v1/queue/:id", async (context) => {
    const item = await control.show(context.req.param("id"));
    return item ? context.json({ item }) : unknown(context.req.param("id"));
  });
  for (const part of ["header", "raw"] as const) {
    api.get(`/api/v1/queue/:id/${part}`, async (context) => {
      const octets = await control.content(context.req.param("id"), part);
      return octets ? streamOf(octets) : unknown(context.req.param("id"));
    });
  }
  api.post("/api/v1/queue/:verb", async (context) => {
    const verb = queueVerbs.find((known) => known === context.req.param("verb"));
    if (!verb) return context.json({ error: "no such path" }, 404);
    const { selection: raw = {}, all, dryRun, reason, text } = await readObject(context);
    const selection = readSelection(raw);
    if (selectsAll(selection) && all !== true)
      throw new Fault("control.invalid", `Cannot ${verb} the whole queue unless it is said: all`);
    const words = {
      reason: readWords(reason, "reason", wordsLengthMax),
      text: readWords(text, "text", wordsLengthMax),
    };
    return context.json(
      await control.change(verb, selection, {
        dryRun: dryRun === true,
        ...(words.reason !== undefined && { reason: words.reason }),
        ...(words.text !== undefined && { text: words.text }),
      }),
    );
  });
  api.get("/api/v1/destinations", (context) =>
    context.json({ destinations: control.destinations().toSorted(byBusiness) }),
  );
  api.patch("/api/v1/destinations/:name", async (context) => {
    const destination = await control.shape(context.req.param("name"), readChange(await readObject(context)));
    return context.json({ destination });
  });
  return api;
}

/** An answer that is mail: octets as they are. */
export function streamOf(octets: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Response {
  return new Response(ReadableStream.from<Uint8Array>(octets), {
    headers: { "Content-Type": "application/octet-stream" },
  });
}

function unknown(id: string): never {
  throw new Fault("spool.unknown-message", `no message ${JSON.stringify(id.slice(0, 40))} is in the queue`);
}

/** A query has text for everything, and two names from before there were more conditions. */
function selectionOf({ ids, from, to, ...rest }: Readonly<Record<string, string>>): QueueSelection {
  return readSelection({
    ...(ids !== undefined && { ids: ids.split(",") }),
    ...(from !== undefined && { sender: from }),
    ...(to !== undefined && (to.startsWith("@") ? { domain: to.slice(1) } : { recipient: to })),
    ...rest,
  });
}

function byBusiness(one: DestinationView, other: DestinationView): number {
  return other.running - one.running || other.waiting - one.waiting || (one.name < other.name ? -1 : 1);
}

/** @throws {Fault} `control.invalid` */
function readChange({
  connectionsMax,
  rate,
  suspend,
  wake,
  ...others
}: Readonly<Record<string, unknown>>): DestinationChange {
  const stranger = Object.keys(others)[0];
  if (stranger !== undefined)
    throw new Fault("control.invalid", `unknown key ${JSON.stringify(stranger.slice(0, 40))}`);
  const connections = connectionsMax ?? undefined;
  const change = {
    ...(connectionsMax !== undefined && {
      connectionsMax: readCount(connections, { name: "connectionsMax", min: 1, max: 10_000 }) ?? null,
    }),
    ...(rate !== undefined && { rate: rate === null ? null : readRate(rate) }),
    ...(suspend !== undefined && { suspend: suspend === null ? null : readSuspension(suspend) }),
    ...(wake === true && { wake: true as const }),
  };
  if (Object.keys(change).length === 0)
    throw new Fault("control.invalid", "expected connectionsMax, rate, suspend or wake");
  return change;
}

function readRate(raw: unknown): { readonly times: number; readonly withinMs: number } {
  const { times, withinMs } = isTable(raw) ? raw : {};
  const read = {
    times: readCount(times, { name: "rate.times", min: 1, max: 1_000_000 }),
    withinMs: readCount(withinMs, { name: "rate.withinMs", min: 100, max: 7 * 86_400_000 }),
  };
  if (read.times === undefined || read.withinMs === undefined)
    throw new Fault("control.invalid", "rate: expected times and withinMs");
  return { times: read.times, withinMs: read.withinMs };
}

function readSuspension(raw: unknown): { readonly forMs: number | null } {
  const { forMs = null } = isTable(raw) ? raw : {};
  return { forMs: readCount(forMs ?? undefined, { name: "suspend.forMs", min: 1_000, max: monthMs }) ?? null };
}
