/**
 * What the guest's packs (guest/web-*.ts) ask the child process at once, in a run and while a script is loaded: URLs, charsets, hashes and random octets,
 * which Node has exactly and an isolate has not at all. Every answer is a function of the question, and takes time and room as the question does.
 */
import { createHash, randomBytes } from "node:crypto";

/** Characters of a URL, or of its query. */
const urlLengthMax = 1_048_576;
const randomOctetsMax = 65_536;
const hashes: Readonly<Record<string, string>> = {
  "SHA-1": "sha1",
  "SHA-256": "sha256",
  "SHA-384": "sha384",
  "SHA-512": "sha512",
};
const urlParts = [
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
  "href",
] as const;
type UrlPart = (typeof urlParts)[number];

/** Gives null where there is no answer: no URL, no such charset, octets that are none of it. Never throws. */
export function answerWeb(ask: unknown, argument: unknown, octets: unknown): string | ArrayBuffer | null {
  if (typeof argument !== "string") return null;
  const given = octets instanceof ArrayBuffer ? octets : new ArrayBuffer(0);
  try {
    switch (ask) {
      case "url":
      case "url-set":
      case "query":
      case "query-text":
        return argument.length > urlLengthMax ? null : answerUrl(ask, argument);
      case "charset":
        return new TextDecoder(argument).encoding;
      case "decode":
        return decode(argument, given);
      case "atob":
        return atob(argument);
      case "btoa":
        return btoa(argument);
      case "digest":
        return digest(argument, given);
      case "random":
        return random(argument);
      default:
        return null;
    }
  } catch {
    return null;
  }
}

function answerUrl(ask: "url" | "url-set" | "query" | "query-text", argument: string): string {
  if (ask === "query") return JSON.stringify([...new URLSearchParams(argument)]);
  const given = JSON.parse(argument) as string[];
  if (ask === "query-text") return new URLSearchParams(given as unknown as [string, string][]).toString();
  const [href = "", name = "", value = ""] = given;
  if (ask === "url") return partsOf(given.length > 1 ? new URL(href, name) : new URL(href));
  const url = new URL(href);
  if (urlParts.includes(name as UrlPart)) url[name as UrlPart] = value;
  return partsOf(url);
}

function partsOf(url: URL): string {
  const { origin } = url;
  return JSON.stringify({ origin, ...Object.fromEntries(urlParts.map((part) => [part, url[part]])) });
}

/** `argument` is `f` for fatal or `-`, `i` to keep a byte order mark or `-`, and the charset. */
function decode(argument: string, octets: ArrayBuffer): string {
  const decoder = new TextDecoder(argument.slice(2), { fatal: argument[0] === "f", ignoreBOM: argument[1] === "i" });
  return decoder.decode(octets);
}

function digest(algorithm: string, octets: ArrayBuffer): ArrayBuffer | null {
  const name = Object.hasOwn(hashes, algorithm) ? hashes[algorithm] : undefined;
  return name === undefined ? null : bufferOf(createHash(name).update(new Uint8Array(octets)).digest());
}

/** `argument` is a number of octets and, where they are to be the same in every replay, a seed. */
function random(argument: string): ArrayBuffer | null {
  const [count = "", seed = ""] = argument.split(" ", 2);
  const outputLength = Number(count);
  if (!Number.isInteger(outputLength) || outputLength < 1 || outputLength > randomOctetsMax) return null;
  return bufferOf(
    seed === "" ? randomBytes(outputLength) : createHash("shake256", { outputLength }).update(seed).digest(),
  );
}

function bufferOf(octets: Buffer): ArrayBuffer {
  return new Uint8Array(octets).buffer;
}
