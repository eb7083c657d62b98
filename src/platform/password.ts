/**
 * Passwords: hashed by Argon2id (RFC 9106), kept as PHC strings. A hash costs memory and time on purpose, so only so many are made at once, and only so many wait:
 * a flood of logins cannot take the machine.
 */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/** Characters of a password that is set; longer is stronger than odd. NIST SP 800-63B §3.1.1. */
export const passwordLengthMin = 12;
/** Octets of a password, set or tried. */
export const passwordOctetsMax = 1_024;

/** The parameters of new hashes: 19 MiB, two passes, one lane, as the OWASP cheat sheet has them. */
const present = { memoryKiB: 19_456, passes: 2, lanes: 1 } as const;
/** What a hash in a file may ask of us. */
const memoryKiBMax = 262_144;
const passesMax = 16;
const lanesMax = 8;
const saltOctets = 16;
const tagOctets = 32;

const derive = promisify(argon2);

interface ParsedHash {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  readonly salt: Buffer;
  readonly tag: Buffer;
}

/** The parts of a PHC string, undefined where it is none that this server checks. */
export function parsePasswordHash(text: string): ParsedHash | undefined {
  const match =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,88})\$([A-Za-z0-9+/]{16,88})$/.exec(
      text,
    );
  if (!match) return undefined;
  const [memoryKiB, passes, lanes] = match.slice(1, 4).map(Number) as [number, number, number];
  if (lanes < 1 || lanes > lanesMax || passes < 1 || passes > passesMax) return undefined;
  // RFC 9106 §3.1: at least eight blocks for each lane.
  if (memoryKiB < 8 * lanes || memoryKiB > memoryKiBMax) return undefined;
  return { memoryKiB, passes, lanes, salt: Buffer.from(match[4]!, "base64"), tag: Buffer.from(match[5]!, "base64") };
}

/** One of these hashes that has the parameters most of them have; null where there are none. */
export function usualHash(hashes: Iterable<string>): string | null {
  const counts = new Map<string, number>();
  let usual: { readonly hash: string; readonly count: number } | null = null;
  for (const hash of hashes) {
    // `$argon2id$v=19$m=19456,t=2,p=1$SALT$TAG`
    const parameters = hash.slice(0, hash.indexOf("$", "$argon2id$v=19$".length));
    const count = (counts.get(parameters) ?? 0) + 1;
    counts.set(parameters, count);
    if (usual === null || count > usual.count) usual = { hash, count };
  }
  return usual?.hash ?? null;
}

/** The PHC string of a password. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltOctets);
  const tag = await tagOf(password, { ...present, salt, tagLength: tagOctets });
  const { memoryKiB, passes, lanes } = present;
  return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${lanes}$${unpadded(salt)}$${unpadded(tag)}`;
}

/** Why a password cannot be set; undefined where it can. */
export function passwordProblem(password: string): string | undefined {
  if ([...password].length < passwordLengthMin) return `it is shorter than ${passwordLengthMin} characters`;
  if (Buffer.byteLength(password) > passwordOctetsMax) return `it is longer than ${passwordOctetsMax} octets`;
  if (/[\x00-\x1f\x7f]/.test(password)) return "it holds control characters, which no client sends";
  if (new Set(password).size < 4) return "it is made of fewer than four different characters";
  return undefined;
}

export interface PasswordCheckLimits {
  /** Checks at a time. */
  readonly concurrency: number;
  /** Checks that wait for one of those. */
  readonly waitingMax: number;
}

/** Checks passwords, a few at a time. */
export class PasswordChecks {
  readonly #limits: PasswordCheckLimits;
  #underWay = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limits: PasswordCheckLimits = { concurrency: 2, waitingMax: 64 }) {
    this.#limits = limits;
  }

  /**
   * Whether it is the password of this hash. With `null` for a hash the answer is no, after the time that a check against `usual` takes: who is no user cannot be
   * told from a wrong password. `busy`: too many wait already; nothing was checked.
   * @param usual a hash with the parameters that others have; null: those of new ones
   */
  async check(password: string, hash: string | null, usual: string | null = null): Promise<boolean | "busy"> {
    if (this.#underWay >= this.#limits.concurrency) {
      if (this.#waiting.length >= this.#limits.waitingMax) return "busy";
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#underWay++;
    try {
      return await matches(password, hash, usual);
    } finally {
      // Who waits longest takes the place over.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#underWay--;
    }
  }
}

async function matches(password: string, hash: string | null, usual: string | null): Promise<boolean> {
  const parsed = hash === null ? undefined : parsePasswordHash(hash);
  const { tag, ...parameters } = parsed ?? (usual === null ? undefined : parsePasswordHash(usual)) ?? nobodys;
  const tooLong = Buffer.byteLength(password) > passwordOctetsMax;
  const found = await tagOf(tooLong ? "" : password, { ...parameters, tagLength: tag.length });
  return timingSafeEqual(found, tag) && parsed !== undefined && !tooLong;
}

/** What is computed for nobody. */
const nobodys: ParsedHash = { ...present, salt: Buffer.alloc(saltOctets), tag: Buffer.alloc(tagOctets) };

async function tagOf(
  password: string,
  { memoryKiB, passes, lanes, salt, tagLength }: Omit<ParsedHash, "tag"> & { readonly tagLength: number },
): Promise<Buffer> {
  return await derive("argon2id", {
    // One spelling of what looks the same. RFC 8265 §4.2.
    message: Buffer.from(password.normalize("NFC")),
    nonce: salt,
    parallelism: lanes,
    tagLength,
    memory: memoryKiB,
    passes,
  });
}

function unpadded(octets: Buffer): string {
  return octets.toString("base64").replace(/=+$/, "");
}
