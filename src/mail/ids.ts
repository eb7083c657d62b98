/** Identifiers of sessions and messages: unique, sorted by time, short enough to read out on the telephone. */
import { createHash, randomBytes } from "node:crypto";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** 9 characters of time (ms, Crockford base 32) and 7 of chance: 16 in all, safe as a file name. */
export function createId(nowMs: number): string {
  let time = "";
  for (let rest = Math.floor(nowMs), i = 0; i < 9; i++, rest = Math.floor(rest / 32)) time = alphabet[rest % 32] + time;
  return time + randomPart();
}

/** The same id again for the same text: of something that comes of `id`, and has its time. */
export function deriveId(id: string, text: string): string {
  const hash = createHash("sha256").update(`${id}\n${text}`).digest();
  return id.slice(0, 9) + Array.from(hash.subarray(0, 7), (octet) => alphabet[octet & 31]).join("");
}

/** What `createId` makes; anything else is not an id and never becomes a path. */
export const idPattern = /^[0-9A-HJKMNP-TV-Z]{16}$/;

const pool = Buffer.alloc(7 * 256);
let used = pool.length;

function randomPart(): string {
  if (used === pool.length) {
    pool.set(randomBytes(pool.length));
    used = 0;
  }
  let text = "";
  for (const end = used + 7; used < end; used++) text += alphabet[pool[used]! & 31];
  return text;
}
