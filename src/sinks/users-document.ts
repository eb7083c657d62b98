/**
 * Users who may submit mail, as `users.json` has them: names, password hashes, addresses they may send from, limits. Pure; the file is in users-file.ts.
 */
import { type Mailbox, normalizeDomain, sameMailbox, tryParseMailbox } from "../mail/mailbox.ts";
import { Fault } from "../platform/fault.ts";
import { parsePasswordHash } from "../platform/password.ts";
import { nearestWord, type Rate, rate as rateKind } from "../platform/value.ts";

/** Users of one file. */
export const usersMax = 100_000;
/** Octets of a name. */
export const userNameOctetsMax = 255;
/** Addresses of one user. */
export const addressesMax = 1_000;

const expectedAddresses = `expected a list of at most ${addressesMax} addresses`;

export interface User {
  /** As it was written; compared without case. */
  readonly name: string;
  /** PHC string. */
  readonly password: string;
  /** What he may send from beside his name: mailboxes, and `*@domain`. */
  readonly addresses: readonly string[];
  readonly enabled: boolean;
  /** Recipients he may send to in a time; null: as the configuration says. */
  readonly rate: Rate | null;
}

/** By `userKey` of the name, in the order of the file. */
export type Users = ReadonlyMap<string, User>;

/** What names are compared by. */
export function userKey(name: string): string {
  return name.normalize("NFC").toLowerCase();
}

/** @throws {Fault} `user.invalid` */
export function checkUserName(name: string): string {
  if (name === "" || Buffer.byteLength(name) > userNameOctetsMax || /[\x00-\x20\x7f-\xa0\u2028\u2029]/.test(name)) {
    throw new Fault(
      "user.invalid",
      `Cannot take ${JSON.stringify(name.slice(0, 80))} for a user's name: expected 1 to ${userNameOctetsMax} octets without blanks`,
    );
  }
  return name.normalize("NFC");
}

/** `ann@example.org`, or `*@example.org` for every mailbox of a domain. @throws {Fault} `user.invalid` */
export function checkUserAddress(text: string): string {
  const domain = text.startsWith("*@") ? normalizeDomain(text.slice(2)) : undefined;
  if (domain !== undefined) return `*@${domain}`;
  if (!text.startsWith("*") && tryParseMailbox(text)) return text;
  throw new Fault(
    "user.invalid",
    `Cannot take ${JSON.stringify(text.slice(0, 80))} for an address of a user: expected local-part@domain or *@domain`,
  );
}

/** All addresses of a user. @throws {Fault} `user.invalid` */
export function checkUserAddresses(texts: readonly string[]): readonly string[] {
  if (texts.length > addressesMax) {
    throw new Fault("user.invalid", `Cannot take ${texts.length} addresses for a user: ${expectedAddresses}`);
  }
  return texts.map(checkUserAddress);
}

/** @throws {Fault} `user.invalid` */
export function checkUserRate(text: string): Rate {
  const parsed = rateKind.parse(text);
  if ("value" in parsed) return parsed.value;
  throw new Fault(
    "user.invalid",
    `Cannot take ${JSON.stringify(text.slice(0, 80))} for a rate: expected ${parsed.expected}`,
  );
}

/** Whether a user may send from there: it is his name, or one of his addresses. */
export function maySendFrom({ name, addresses }: Pick<User, "name" | "addresses">, mailbox: Mailbox): boolean {
  return [name, ...addresses].some((written) => {
    if (written.startsWith("*@")) return written.slice(2) === mailbox.domain;
    const own = tryParseMailbox(written);
    return own !== undefined && sameMailbox(own, mailbox);
  });
}

export function formatUsers(users: Users): string {
  const list = [...users.values()].map(({ rate, ...user }) => ({
    ...user,
    rate: rate && (JSON.parse(rateKind.format(rate)) as string),
  }));
  return `${JSON.stringify({ format: 1, users: list }, null, 2)}\n`;
}

/**
 * @throws {Fault} `users.unreadable` with every place where it is not what is expected
 */
export function parseUsers(text: string, file: string): Users {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Fault("users.unreadable", `Cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  const problems: string[] = [];
  const users = readDocument(json, (place, words) => problems.push(`${place}: ${words}`));
  if (problems.length > 0)
    throw new Fault("users.unreadable", `Cannot use ${file}: ${problems.slice(0, 10).join("; ")}`, {
      facts: { problems },
    });
  return users;
}

type Say = (place: string, words: string) => void;

function readDocument(json: unknown, say: Say): Users {
  const users = new Map<string, User>();
  if (!isRecord(json)) {
    say("the file", "expected an object with format and users");
    return users;
  }
  refuseUnknown(json, ["format", "users"], "", say);
  if (json.format !== 1) say("format", `expected 1, the only one there is`);
  if (!Array.isArray(json.users) || json.users.length > usersMax) {
    say("users", `expected a list of at most ${usersMax} users`);
    return users;
  }
  for (const [i, raw] of (json.users as unknown[]).entries()) {
    const user = readUser(raw, `users[${i}]`, say);
    if (!user) continue;
    const key = userKey(user.name);
    if (users.has(key)) say(`users[${i}].name`, `a second user ${JSON.stringify(user.name)}`);
    else users.set(key, user);
  }
  return users;
}

function readUser(raw: unknown, place: string, say: Say): User | undefined {
  if (!isRecord(raw)) {
    say(place, "expected an object");
    return undefined;
  }
  refuseUnknown(raw, ["name", "password", "addresses", "enabled", "rate"], `${place}.`, say);
  const { name, password, addresses = [], enabled = true, rate = null } = raw;
  const check = <T>(field: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      say(`${place}.${field}`, error.message);
      return undefined;
    }
  };
  const checkedName = check("name", () => checkUserName(typeof name === "string" ? name : ""));
  const isHash = typeof password === "string" && parsePasswordHash(password) !== undefined;
  if (!isHash) say(`${place}.password`, "expected an Argon2id hash, $argon2id$v=19$…; onarrival user passwd makes one");
  if (typeof enabled !== "boolean") say(`${place}.enabled`, "expected true or false");
  const isList =
    Array.isArray(addresses) && addresses.length <= addressesMax && addresses.every((one) => typeof one === "string");
  if (!isList) say(`${place}.addresses`, expectedAddresses);
  const checkedAddresses = isList
    ? (addresses as string[]).map((one, i) => check(`addresses[${i}]`, () => checkUserAddress(one)) ?? "")
    : [];
  const checkedRate =
    rate === null ? null : (check("rate", () => checkUserRate(typeof rate === "string" ? rate : "")) ?? null);
  if (checkedName === undefined || !isHash || typeof enabled !== "boolean") return undefined;
  return { name: checkedName, password, addresses: checkedAddresses, enabled, rate: checkedRate };
}

function refuseUnknown(
  record: Readonly<Record<string, unknown>>,
  known: readonly string[],
  prefix: string,
  say: Say,
): void {
  for (const key of Object.keys(record)) {
    if (known.includes(key)) continue;
    const nearest = nearestWord(key, known);
    say(`${prefix}${key}`, `there is no such field${nearest === undefined ? "" : `; did you mean ${nearest}?`}`);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
