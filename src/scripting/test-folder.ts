/**
 * What lies beside a script to test it: `name.test/` with cases and test files (docs/testing.md). A case is what belongs to one name: `case.eml` the message,
 * `case.expected.json` what is to hold, and where they are needed `case.json` how the message comes in and `case.answers.json` what the script hears.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { basename, dirname, extname, join } from "node:path";
import type { Json } from "../../sandbox/api.ts";
import type { EventName } from "../events/event.ts";
import { eventNames, eventTable, isEventName } from "../events/event-table.ts";
import type { AuthFacts } from "../mail/auth-facts.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { parseForwardPath, parseReversePath, type ReversePath } from "../mail/path.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { noAnswers, readAnswers, type WrittenAnswers } from "./test-answers-file.ts";

/** How a message comes in, where it is not said otherwise: from nobody, at a time that never changes. */
export const caseClockDefault = Date.UTC(2026, 0, 1, 12);
/** An address of nobody. RFC 5737. */
const ipDefault = "192.0.2.1";
const heloDefault = "client.example.com";
const seedDefault = "0123456789abcdef0123456789abcdef";

/** How a message comes in; what `case.json` says, completed. */
export interface CaseSetup {
  /** null: onArrival, or what the script handles. */
  readonly event: EventName | null;
  readonly ip: string;
  readonly host: string | null;
  readonly helo: string;
  readonly user: string | null;
  readonly tls: string | null;
  /** null: the first one there is. */
  readonly listener: string | null;
  readonly auth: AuthFacts | null;
  /** undefined: guessed from the header. */
  readonly from: ReversePath | undefined;
  /** Empty: guessed from the header. */
  readonly to: readonly Mailbox[];
  readonly notes: { readonly [name: string]: Json };
  readonly properties: { readonly [name: string]: Json };
  /** Of the script, in milliseconds since the Unix epoch. */
  readonly clock: number;
  readonly seed: string;
  readonly answers: WrittenAnswers;
  /** Where answers belong, for whoever misses one. */
  readonly answersIn: string;
}

export interface TestCase {
  /** `outside`. */
  readonly name: string;
  readonly setup: CaseSetup;
  /** Absolute; null at an event that goes without a message. */
  readonly message: string | null;
  readonly expectedFile: string;
  /** undefined: nothing is written down yet. */
  readonly expected: unknown;
}

export interface TestFolder {
  /** `tag-external.test`. */
  readonly name: string;
  readonly path: string;
  /** In the order of their names; what cannot be read is a fault in its place. */
  readonly cases: readonly { readonly name: string; readonly read: () => Promise<TestCase> }[];
  /** Test files, absolute. */
  readonly files: readonly string[];
}

const setupKeys = [
  "event",
  "ip",
  "host",
  "helo",
  "user",
  "tls",
  "listener",
  "auth",
  "from",
  "to",
  "notes",
  "properties",
  "clock",
  "seed",
  "answers",
];
const casesMax = 1_000;
const testFile = /\.test\.(?:ts|mts|js|mjs)$/;

/** Where the tests of a script lie, whether there are any or not. */
export function testFolderOf(script: string): string {
  return join(dirname(script), `${basename(script, extname(script))}.test`);
}

/** null where there is no such folder. @throws {Fault} `script.tests-failed` where it cannot be read, or holds too much */
export async function readTestFolder(script: string): Promise<TestFolder | null> {
  const path = testFolderOf(script);
  if (!existsSync(path)) return null;
  const names = (
    await readdir(path).catch((error: unknown) => fail(`Cannot read ${path}: ${describeThrown(error)}`))
  ).sort();
  const cases = new Set<string>();
  for (const name of names) {
    const [, stem] = /^([^.].*?)(?:\.(?:expected|answers))?\.(?:eml|json)$/.exec(name) ?? [];
    if (stem !== undefined) cases.add(stem);
  }
  if (cases.size > casesMax) fail(`${basename(path)} holds more than ${casesMax} cases`);
  return {
    name: basename(path),
    path,
    cases: [...cases].map((name) => ({ name, read: () => readCase(path, name, new Set(names)) })),
    files: names.filter((name) => testFile.test(name)).map((name) => join(path, name)),
  };
}

async function readCase(folder: string, name: string, present: ReadonlySet<string>): Promise<TestCase> {
  const json = async (ending: string): Promise<unknown> =>
    present.has(`${name}${ending}`)
      ? parseJson(await readFile(join(folder, `${name}${ending}`), "utf8"), `${name}${ending}`)
      : undefined;
  const answersIn = `${name}.answers.json`;
  const given = await json(".json");
  const answers = await json(".answers.json");
  const setup = readSetup(given ?? {}, `${name}.json`, answersIn);
  if (answers !== undefined && given !== undefined && Object.hasOwn(given as object, "answers"))
    fail(`The answers of ${name} are in ${name}.json and in ${answersIn}: expected one of them`);
  const message = present.has(`${name}.eml`) ? join(folder, `${name}.eml`) : null;
  const event = setup.event ?? "onArrival";
  if (message === null && !goesWithoutMessage(event)) fail(`There is no message ${name}.eml`);
  return {
    name,
    setup: answers === undefined ? setup : { ...setup, answers: readAnswers(answers, answersIn) },
    message,
    expectedFile: join(folder, `${name}.expected.json`),
    expected: await json(".expected.json"),
  };
}

/** Whether an event comes before there is a message, so that a test needs none. */
export function goesWithoutMessage(event: EventName): boolean {
  return ["onConnect", "onHelo", "onMailFrom", "onRcptTo", "onData"].includes(event);
}

/** @param source Named in errors. @throws {Fault} `script.tests-failed` */
export function readSetup(given: unknown, source: string, answersIn: string): CaseSetup {
  const wrong = (what: string): never => fail(`Cannot read ${source}: ${what}`);
  if (!isObject(given)) return wrong("it is no object");
  for (const key of Object.keys(given))
    if (!setupKeys.includes(key)) wrong(`${JSON.stringify(key)} is none of ${setupKeys.join(", ")}`);
  const text = (key: string, absent: string | null): string | null => {
    const value = given[key] ?? absent;
    return value === null || typeof value === "string" ? value : wrong(`${key} is no text`);
  };
  const object = (key: string): { readonly [name: string]: Json } => {
    const value = given[key] ?? {};
    return isObject(value) ? (value as { readonly [name: string]: Json }) : wrong(`${key} is no object`);
  };
  const parsed = <T>(key: string, value: string, parse: (text: string) => T): T => {
    try {
      return parse(value);
    } catch (error) {
      return wrong(`${key}: ${describeThrown(error)}`);
    }
  };
  const event = text("event", null);
  if (event !== null && (!isEventName(event) || !eventTable[event].scripts))
    wrong(
      `scripts cannot handle ${event}: expected ${eventNames.filter((name) => eventTable[name].scripts).join(" or ")}`,
    );
  const ip = text("ip", ipDefault)!;
  if (isIP(ip) === 0) wrong(`ip is no IP address: ${JSON.stringify(ip)}`);
  const seed = text("seed", seedDefault)!;
  if (!/^[0-9a-f]{32}$/.test(seed)) wrong("seed is not of 32 hexadecimal digits");
  const { to = [] } = given;
  const recipients = typeof to === "string" ? [to] : to;
  if (!Array.isArray(recipients) || recipients.some((one) => typeof one !== "string"))
    wrong("to is no list of addresses");
  const from = given["from"];
  return {
    event: event as EventName | null,
    ip,
    host: text("host", null),
    helo: text("helo", heloDefault)!,
    user: text("user", null),
    tls: text("tls", null),
    listener: text("listener", null),
    auth: given["auth"] === undefined || given["auth"] === null ? null : completeAuth(object("auth")),
    from: from === undefined ? undefined : from === null ? null : parsed("from", text("from", null)!, parseReversePath),
    to: (recipients as string[]).map((one) => parsed("to", one, parseForwardPath)),
    notes: object("notes"),
    properties: object("properties"),
    clock: readClock(given["clock"], wrong),
    seed,
    answers: given["answers"] === undefined ? noAnswers : readAnswers(given["answers"], source),
    answersIn,
  };
}

function readClock(given: unknown, wrong: (what: string) => never): number {
  if (given === undefined) return caseClockDefault;
  const clock = typeof given === "number" ? given : Date.parse(String(given));
  return Number.isSafeInteger(clock) && clock >= 0 ? clock : wrong('clock is no time such as "2026-01-01T12:00:00Z"');
}

/** What is not said was not there: no signature, no policy, nothing that failed. */
function completeAuth(given: Readonly<Record<string, Json>>): AuthFacts {
  const { spf = {}, dkim = [], dmarc = {}, arc = {}, iprev = {} } = given as Readonly<Record<string, object>>;
  return {
    spf: { result: "none", domain: "", identity: "mailfrom", ...spf },
    dkim: (dkim as readonly object[]).map((one) => ({
      result: "pass",
      domain: "",
      selector: "",
      algorithm: "rsa-sha256",
      signature: "",
      aligned: false,
      reason: "",
      ...one,
    })),
    dmarc: { result: "none", domain: "", policy: null, alignedBy: [], reason: "", ...dmarc },
    arc: { result: "none", sealers: [], ...arc },
    iprev: { result: "permerror", host: null, ...iprev },
  };
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail(`Cannot read ${name}: ${describeThrown(error)}`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fail(message: string): never {
  throw new Fault("script.tests-failed", message);
}
