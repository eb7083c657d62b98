/**
 * Checks the questions of a sandbox process: their form, which is the one guest/ gives them, and that they come in their order. Whether a script may ask them is looked at
 * by whoever answers (src/scripting/calls.ts).
 */
import type { Json } from "./api.ts";
import type { HostQuestion } from "./host-call.ts";
import { integer, list, ProtocolError, plain, record, text } from "./shape-check.ts";

export interface CheckedCall {
  readonly call: number;
  readonly question: HostQuestion;
  /** null where the question has none. */
  readonly body: Uint8Array | null;
}

const keyLengthMax = 512;
const valueLengthMax = 65_536;
const nestingMax = 101;
const dnsTypes = ["A", "AAAA", "MX", "TXT", "PTR"] as const;
const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const fieldValue = /^[\t\x20-\x7e\x80-\xff]{0,8192}$/;
const sleepMsMax = 60_000;

/** Calls as they came, with their octets cut from the tail. `first` is the number the first must have. @throws {ProtocolError} */
export function checkCalls(given: readonly unknown[], tail: Buffer, first: number): readonly CheckedCall[] {
  let at = 0;
  const checked = given.map((each, index): CheckedCall => {
    const entry = record(each, "call");
    const call = integer(entry["call"], "call");
    if (call !== first + index) throw new ProtocolError(`Call ${call} where ${first + index} is the next`);
    const question = checkQuestion(record(entry["question"], "question"));
    const octets = integer(entry["octets"], "octets");
    const hasBody = question.kind === "http" && question.hasBody;
    if (at + octets > tail.length || (octets > 0 && !hasBody)) throw new ProtocolError("Octets that belong to no call");
    at += octets;
    // A copy: the frame is not kept for it.
    return { call, question, body: hasBody ? Uint8Array.from(tail.subarray(at - octets, at)) : null };
  });
  if (at !== tail.length) throw new ProtocolError(`${tail.length - at} octets that belong to no call`);
  return checked;
}

function checkQuestion(question: Readonly<Record<string, unknown>>): HostQuestion {
  const { kind } = question;
  switch (kind) {
    case "http": {
      const { timeoutMs } = question;
      const method = text(question["method"], 20, "method");
      if (!/^[A-Z]{1,20}$/.test(method)) throw new ProtocolError("A method that is none");
      return {
        kind,
        method,
        url: text(question["url"], 8_192, "url"),
        headers: list(question["headers"], 101, "headers").map(checkField),
        hasBody: question["hasBody"] === true,
        timeoutMs: timeoutMs === null ? null : positive(timeoutMs, "timeout"),
        follow: question["follow"] === true,
      };
    }
    case "dns": {
      const type = dnsTypes.find((known) => known === question["type"]);
      if (!type) throw new ProtocolError("A record type of no known kind");
      return { kind, type, name: plain(question["name"], 320, "name") };
    }
    case "dns.listed":
      return { kind, list: plain(question["list"], 320, "list"), subject: plain(question["subject"], 320, "subject") };
    case "kv.get":
    case "kv.delete":
      return { kind, key: key(question["key"]) };
    case "kv.set":
      return {
        kind,
        key: key(question["key"]),
        value: json(question["value"]),
        ttlS: ttl(question["ttlS"]),
        ifAbsent: question["ifAbsent"] === true,
      };
    case "kv.increment": {
      const { by } = question;
      if (typeof by !== "number" || !Number.isFinite(by)) throw new ProtocolError("An increment that is no number");
      return { kind, key: key(question["key"]), by, ttlS: ttl(question["ttlS"]) };
    }
    case "kv.list": {
      const limit = integer(question["limit"], "limit");
      if (limit < 1 || limit > 1_000) throw new ProtocolError("A limit out of bounds");
      return { kind, prefix: key(question["prefix"]), limit, after: key(question["after"]) };
    }
    case "secret":
      return { kind, name: plain(question["name"], 320, "name") };
    case "sleep": {
      const { ms } = question;
      if (typeof ms !== "number" || !(ms >= 0 && ms <= sleepMsMax)) throw new ProtocolError("A time out of bounds");
      return { kind, ms };
    }
    case "cancel":
      return { kind, call: integer(question["call"], "call") };
    default:
      throw new ProtocolError("A question of no known kind");
  }
}

function checkField(given: unknown): readonly [name: string, value: string] {
  const pair = list(given, 2, "field");
  const name = text(pair[0], 100, "field name");
  const value = text(pair[1], 8_192, "field value");
  if (!fieldName.test(name) || !fieldValue.test(value))
    throw new ProtocolError("A header field that cannot be written");
  return [name, value];
}

function key(given: unknown): string {
  const words = text(given, keyLengthMax, "key");
  if (Buffer.byteLength(words) > 3 * keyLengthMax) throw new ProtocolError("A key that is too long");
  return words;
}

function ttl(given: unknown): number | null {
  return given === null ? null : positive(given, "ttl");
}

function positive(given: unknown, what: string): number {
  if (typeof given !== "number" || !(given > 0 && given < 1e11)) throw new ProtocolError(`A ${what} out of bounds`);
  return given;
}

function json(given: unknown): Json {
  if (given === undefined || depthOf(given, 0) > nestingMax) throw new ProtocolError("A value that is too deep");
  const words = JSON.stringify(given);
  if (words.length > valueLengthMax) throw new ProtocolError("A value that is too long");
  return given as Json;
}

function depthOf(given: unknown, depth: number): number {
  if (typeof given !== "object" || given === null || depth > nestingMax) return depth;
  let deepest = depth + 1;
  for (const inner of Object.values(given)) deepest = Math.max(deepest, depthOf(inner, depth + 1));
  return deepest;
}
