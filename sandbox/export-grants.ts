/**
 * `export const grants`: what a script asks to be granted, read from what it exported. Whether it is granted is the server's to say. The same
 * reading is used where the script is loaded and where the server hears of it, so nothing here trusts that the other did it.
 */
import { plainLine } from "./plain-line.ts";
import type { Grants } from "./protocol.ts";

/** What is wrong with grants, in words for whoever wrote them. */
export class GrantsError extends Error {}

/** Characters of the grants as JSON. */
export const grantsLengthMax = 16_384;
/** Origins, recipients or secrets that one grant names. */
const namedMax = 100;
/** Messages a run may make where the script does not say: `submit: true`. */
const submissionsDefault = 10;
const submissionsMax = 1_000;

const origin = /^https?:\/\/(?:\*\.)?(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const recipient = /^(?:(?:[^\x00-\x20"(),:;<>@[\\\]*\x7f]+@)?|\*\.)[^\x00-\x20"(),:;<>@[\\\]*\x7f]+$/;
const secretName = /^[A-Za-z0-9_.-]{1,64}$/;
const keys = ["http", "dns", "kv", "submit", "secrets"] as const;

/** What people call them who know another program. */
const otherWords: Readonly<Record<string, (typeof keys)[number]>> = {
  https: "http",
  fetch: "http",
  net: "http",
  network: "http",
  hosts: "http",
  origins: "http",
  resolve: "dns",
  lookup: "dns",
  store: "kv",
  storage: "kv",
  mail: "submit",
  send: "submit",
  reply: "submit",
  forward: "submit",
  secret: "secrets",
  env: "secrets",
};

/** Reads grants; what they already are they stay. @throws {GrantsError} */
export function readGrants(given: unknown): Grants {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new GrantsError(
      `grants is an object such as { http: ["https://directory.example.org"] }, not ${show(given)}`,
    );
  const grants: { -readonly [Key in keyof Grants]: Grants[Key] } = {};
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || value === false) continue;
    switch (key) {
      case "http":
        grants.http = unique(names(value, key, "origins").map(readOrigin));
        break;
      case "dns":
      case "kv":
        if (value !== true) throw new GrantsError(`grants.${key} is true or false, not ${show(value)}`);
        grants[key] = true;
        break;
      case "submit":
        grants.submit = readSubmit(value);
        break;
      case "secrets":
        grants.secrets = names(value, key, "names").map((name) => {
          if (!secretName.test(name))
            throw new GrantsError(
              `grants.secrets: ${show(name)} is no name of a secret: expected letters, digits, "_", "." and "-"`,
            );
          return name;
        });
        break;
      default:
        throw unknownKey(key);
    }
  }
  return grants;
}

function readOrigin(text: string): string {
  const fail = (words: string) => new GrantsError(`grants.http: ${show(text)} ${words}`);
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw fail(
      /^[\w.*-]+(?::\d+)?(?:\/|$)/.test(text)
        ? `has no scheme: write "https://${plainLine(text, 200)}"`
        : 'is no origin: expected "https://host"',
    );
  if (!/^https?:\/\//i.test(text)) throw fail("is not HTTP: expected https:// or http://");
  const [, start, rest] = /^(https?:\/\/[^/?#]*)(.*)$/is.exec(text)!;
  if (rest !== "" && rest !== "/") throw fail(`names more than a host: an origin is "${plainLine(start!, 200)}"`);
  if (start!.includes("@")) throw fail("holds a user: send credentials in a header, from a secret");
  const lower = start!.toLowerCase();
  if (!origin.test(lower))
    throw fail(
      lower.includes("*")
        ? 'has a "*" in the wrong place: "https://*.example.org" is every host below example.org'
        : 'is no origin: expected "https://host" or "https://host:8443"',
    );
  const port = /:(\d+)$/.exec(lower)?.[1];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) throw fail("has a port that is none");
  // The scheme's own port is no part of an origin. RFC 6454 §4.
  return lower.replace(/^(http:.*):80$|^(https:.*):443$/, "$1$2");
}

function readSubmit(value: unknown): NonNullable<Grants["submit"]> {
  if (value === true) return { max: submissionsDefault, to: null };
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new GrantsError(
      `grants.submit is true, or an object such as { max: 2, to: ["example.org"] }, not ${show(value)}`,
    );
  const { max = submissionsDefault, to = null, ...others } = value as Readonly<Record<string, unknown>>;
  const [other] = Object.keys(others);
  if (other !== undefined) throw new GrantsError(`grants.submit has max and to, and no ${plainLine(other, 40)}`);
  if (!Number.isInteger(max) || (max as number) < 1 || (max as number) > submissionsMax)
    throw new GrantsError(`grants.submit.max is a whole number from 1 to ${submissionsMax}, not ${show(max)}`);
  return {
    max: max as number,
    to:
      to === null
        ? null
        : names(to, "submit.to", "addresses and domains").map((text) => {
            if (!recipient.test(text))
              throw new GrantsError(
                `grants.submit.to: ${show(text)} is no address or domain: expected "ops@example.org", "example.org" or "*.example.org"`,
              );
            return text.toLowerCase();
          }),
  };
}

function names(value: unknown, key: string, what: string): readonly string[] {
  if (!Array.isArray(value)) throw new GrantsError(`grants.${key} is a list of ${what}, not ${show(value)}`);
  if (value.length > namedMax) throw new GrantsError(`grants.${key} names at most ${namedMax} ${what}`);
  for (const one of value) {
    if (typeof one !== "string" || one.length > 300)
      throw new GrantsError(`grants.${key} is a list of ${what}, and ${show(one)} is none`);
  }
  return unique(value as readonly string[]);
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}

function unknownKey(key: string): GrantsError {
  const lower = key.toLowerCase();
  const meant = Object.hasOwn(otherWords, lower)
    ? otherWords[lower]
    : keys.find((one) => one === lower || one.startsWith(lower) || lower.startsWith(one));
  const shown = plainLine(key, 40);
  return new GrantsError(
    `There is no grant ${shown}${meant ? `: did you mean ${meant}?` : `: expected some of ${keys.join(", ")}`}`,
  );
}

function show(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return plainLine(JSON.stringify(value) ?? typeof value, 80);
}
