/**
 * Reads a system-call trace and says whether every `250` was written only after the syncs that make it true (RELIABILITY P1, P3):
 * body file synced → its folder synced → spool record written → write-ahead log synced → reply written. Pure: text in, sentences out.
 */
import { dirname } from "node:path";

/** What `strace` is asked for, and how: paths with descriptors (-y), whole strings, every thread (-f). */
export const straceArguments = [
  "-f",
  "-y",
  "-qq",
  "--seccomp-bpf",
  "-s",
  "70000",
  "-e",
  "trace=openat,rename,renameat,renameat2,link,linkat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg,fsync,fdatasync",
  "-e",
  "signal=none",
] as const;

/** A message of which a client was told that it is queued. */
export interface Answered {
  readonly id: string;
  /** Words in the first line of the body. */
  readonly marker: string;
  /** Whether its body is kept in a file of its own. */
  readonly large: boolean;
}

/** Everything that was answered too early, as sentences; empty where the order held for every message. */
export function checkSyncOrder(trace: string, answered: readonly Answered[], dataFolder: string): string[] {
  const calls = parseTrace(trace);
  return answered.flatMap((message) =>
    checkMessage(calls, message, dataFolder).map((violation) => `${message.id} (${message.marker}): ${violation}`),
  );
}

interface Call {
  readonly name: string;
  /** As strace writes them, up to where the call was left unfinished. */
  readonly args: string;
  /** Path of the first argument's descriptor, else of the result's. */
  readonly path: string | undefined;
  /** Place in the trace at which it was entered, and at which it had returned. */
  readonly began: number;
  readonly ended: number;
  readonly failed: boolean;
}

const writes = new Set(["write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"]);
const syncs = new Set(["fsync", "fdatasync"]);

function checkMessage(calls: readonly Call[], { id, marker, large }: Answered, dataFolder: string): string[] {
  const reply = calls.find(
    (call) => writes.has(call.name) && !isFile(call) && call.args.includes(`250 2.0.0 queued as ${id}`),
  );
  if (reply === undefined) return ["no reply in the trace"];
  const record = calls.find((call) => writes.has(call.name) && call.path?.endsWith("-wal") && call.args.includes(id));
  if (record === undefined || record.ended > reply.began)
    return ["answered before its record was written to the write-ahead log"];

  const violations: string[] = [];
  if (!syncedBetween(calls, record.path!, record.ended, reply.began)) {
    violations.push("answered before the write-ahead log was synced behind its record");
  }
  if (large) violations.push(...checkBodyFile(calls, { marker, dataFolder, recordBegan: record.began }));
  return violations;
}

function checkBodyFile(
  calls: readonly Call[],
  body: { readonly marker: string; readonly dataFolder: string; readonly recordBegan: number },
): string[] {
  const { marker, dataFolder, recordBegan } = body;
  const before = calls.filter((call) => call.ended < recordBegan);
  const first = before.find(
    (call) => writes.has(call.name) && isBodyFile(call.path, dataFolder) && call.args.includes(marker),
  );
  if (first === undefined) return ["its body was in no file before its record was written"];
  const path = first.path!;
  const lastWrite = before.findLast((call) => writes.has(call.name) && call.path === path)!;
  const violations: string[] = [];
  if (!syncedBetween(before, path, lastWrite.ended, recordBegan))
    violations.push("its record was written before its body file was synced");

  // The name it lives under: the one it was created with, or the last one it was given.
  const named = before.findLast(
    (call) =>
      (call.name === "openat" && call.path === path && call.args.includes("O_CREAT")) ||
      (/^(rename|link)/.test(call.name) && call.args.includes(`"${path}"`)),
  );
  if (named === undefined) return [...violations, "nothing in the trace created its body file"];
  const folder = named.name === "openat" ? dirname(path) : dirname(lastQuoted(named.args));
  if (!syncedBetween(before, folder, named.ended, recordBegan))
    violations.push("its record was written before the folder of its body file was synced");
  return violations;
}

/** Whether a sync of `path` was entered behind `after` and had returned before `until`. */
function syncedBetween(calls: readonly Call[], path: string, after: number, until: number): boolean {
  return calls.some(
    (call) => syncs.has(call.name) && call.path === path && !call.failed && call.began > after && call.ended < until,
  );
}

function isFile(call: Call): boolean {
  return call.path?.startsWith("/") === true;
}

/** A body in the spool, which is neither the database nor a Maildir. */
function isBodyFile(path: string | undefined, dataFolder: string): boolean {
  return (
    path?.startsWith(`${dataFolder}/`) === true &&
    !path.startsWith(`${dataFolder}/mail/`) &&
    !/\.db(-wal|-shm|-journal)?$/.test(path)
  );
}

function lastQuoted(args: string): string {
  return [...args.matchAll(/"([^"]*)"/g)].at(-1)?.[1] ?? "";
}

/** The calls of a trace in the order they were entered. One that never returned ended at infinity. */
function parseTrace(trace: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, { call: Call; index: number }>();
  const lines = trace.split("\n");
  for (let place = 0; place < lines.length; place++) {
    const line = lines[place]!;
    const resumed = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/s.exec(line);
    if (resumed !== null) {
      const [, thread, name, rest] = resumed;
      const begun = open.get(thread!);
      if (begun === undefined || begun.call.name !== name) continue;
      open.delete(thread!);
      calls[begun.index] = {
        ...begun.call,
        path: begun.call.path ?? resultPath(rest!),
        ended: place,
        failed: hasFailed(rest!),
      };
      continue;
    }
    const entered = /^(\d+) +(\w+)\((.*)$/s.exec(line);
    if (entered === null) continue;
    const [, thread, name, args] = entered;
    const path = /^\d+<([^>]*)>/.exec(args!)?.[1];
    if (args!.endsWith("<unfinished ...>")) {
      const call = { name: name!, args: args!, path, began: place, ended: Number.POSITIVE_INFINITY, failed: true };
      open.set(thread!, { call, index: calls.length });
      calls.push(call);
    } else {
      calls.push({
        name: name!,
        args: args!,
        path: path ?? resultPath(args!),
        began: place,
        ended: place,
        failed: hasFailed(args!),
      });
    }
  }
  return calls;
}

function resultPath(text: string): string | undefined {
  return / = \d+<([^>]*)>$/.exec(text)?.[1];
}

function hasFailed(text: string): boolean {
  return / = -1 E[A-Z]+ [^"]*$/.test(text) || / = \?[^"]*$/.test(text);
}
