/** Badmail in the operator's hands, over the control socket: what is kept apart and why, and the two ways out of it. */
import { Hono } from "hono";
import { idPattern } from "../mail/ids.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { parseForwardPath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import { guardRequests, readCount, readIds, readObject, readWords } from "./control-request.ts";
import { streamOf } from "./queue-control.ts";

export interface BadMailView {
  readonly id: string;
  /** `<>` for the null reverse-path; null where it is not known. */
  readonly from: string | null;
  readonly to: readonly string[];
  /** RFC 3339. */
  readonly receivedAt: string | null;
  readonly quarantinedAt: string | null;
  readonly sizeOctets: number;
  readonly reason: string;
  /** Whose verdict it was. */
  readonly binding: string | null;
  /** Rule of that binding. */
  readonly rule: string | null;
  /** Code of the fault that led here. */
  readonly fault: string | null;
  /** Entrance or listener it came by. */
  readonly origin: string | null;
  /** Name of the pickup file it was, where it never was a message. */
  readonly file: string | null;
  /** What is wrong with the folder itself; null where nothing is. Such a one can be removed and not released. */
  readonly problem: string | null;
}

export interface BadMailSelection {
  readonly ids?: readonly string[];
  /** Since it was put there. */
  readonly olderThanMs?: number;
  /** Binding whose verdict it was. */
  readonly binding?: string;
}

export interface BadMailChange {
  readonly ids: readonly string[];
  readonly skipped: readonly { readonly id: string; readonly reason: string }[];
}

export interface BadMailControl {
  /** Oldest first. */
  list(
    selection: BadMailSelection,
    page: { readonly limit: number },
  ): Promise<{ readonly items: readonly BadMailView[]; readonly total: number }>;
  show(id: string): Promise<BadMailView | undefined>;
  /** The octets of a message or of its header; undefined where it is not there. */
  content(id: string, part: "header" | "raw"): Promise<Iterable<Uint8Array> | AsyncIterable<Uint8Array> | undefined>;
  /** Puts messages back on their way, to others than before where `to` names any; with `again` the sinks of a session are asked once more. */
  release(
    ids: readonly string[],
    options: { readonly to?: readonly string[]; readonly again?: boolean },
  ): Promise<BadMailChange>;
  remove(selection: BadMailSelection, options: { readonly dryRun: boolean }): Promise<BadMailChange>;
}

const limitDefault = 1_000;
const limitMax = 100_000;
const ageMsMax = 100 * 365 * 86_400_000;
/** Recipients a release may name. */
const recipientsMax = 1_000;

/** `/api/v1/badmail` and what is below it. */
export function createBadMailApi(control: BadMailControl): Hono {
  const api = new Hono();
  guardRequests(api, ["/api/v1/badmail/*"]);
  api.get("/api/v1/badmail", async (context) => {
    const { limit: limitText, ...query } = context.req.query();
    const limit = readCount(limitText, { name: "limit", min: 1, max: limitMax }) ?? limitDefault;
    return context.json(await control.list(readBadMailSelection(query), { limit }));
  });
  api.get("/api/v1/badmail/:id", async (context) => {
    const id = readId(context.req.param("id"));
    const item = await control.show(id);
    return item ? context.json({ item }) : unknown(id);
  });
  for (const part of ["header", "raw"] as const) {
    api.get(`/api/v1/badmail/:id/${part}`, async (context) => {
      const id = readId(context.req.param("id"));
      const octets = await control.content(id, part);
      return octets ? streamOf(octets) : unknown(id);
    });
  }
  api.post("/api/v1/badmail/release", async (context) => {
    const { ids: given, to, again } = await readObject(context);
    const ids = readIds(given);
    if (!ids) throw new Fault("control.invalid", "ids: expected the ids of messages in badmail");
    return context.json(
      await control.release(ids, {
        ...(to !== undefined && { to: readRecipients(to) }),
        ...(again === true && { again }),
      }),
    );
  });
  api.post("/api/v1/badmail/remove", async (context) => {
    const { selection: raw = {}, all, dryRun } = await readObject(context);
    const selection = readBadMailSelection(raw as Readonly<Record<string, unknown>>);
    if (Object.keys(selection).length === 0 && all !== true)
      throw new Fault("control.invalid", "Cannot remove all of badmail unless it is said: all");
    return context.json(await control.remove(selection, { dryRun: dryRun === true }));
  });
  return api;
}

/** @throws {Fault} `control.invalid` */
function readBadMailSelection(raw: Readonly<Record<string, unknown>>): BadMailSelection {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    throw new Fault("control.invalid", "selection: expected an object");
  const { ids: givenIds, olderThanMs: givenAge, binding: givenBinding, ...others } = raw;
  const stranger = Object.keys(others)[0];
  if (stranger !== undefined)
    throw new Fault("control.invalid", `selection: unknown key ${JSON.stringify(stranger.slice(0, 40))}`);
  const ids = readIds(givenIds);
  const olderThanMs = readCount(givenAge, { name: "olderThanMs", min: 0, max: ageMsMax });
  const binding = readWords(givenBinding, "binding", 500);
  return {
    ...(ids && { ids }),
    ...(olderThanMs !== undefined && { olderThanMs }),
    ...(binding !== undefined && { binding }),
  };
}

function readRecipients(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > recipientsMax)
    throw new Fault("control.invalid", `to: expected from 1 to ${recipientsMax} addresses`);
  return value.map((one) => formatMailbox(parseForwardPath(String(one))));
}

/** What is no id never becomes a path. */
function readId(id: string): string {
  return idPattern.test(id) ? id : unknown(id);
}

function unknown(id: string): never {
  throw new Fault("spool.unknown-message", `no message ${JSON.stringify(id.slice(0, 40))} is in badmail`);
}
