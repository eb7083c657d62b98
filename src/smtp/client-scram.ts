/** Our side of SASL: SCRAM-SHA-256 where the server knows it, else PLAIN or LOGIN. RFC 4954, RFC 5802, RFC 7677, RFC 4616. Pure but for the nonce. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import type { Extensions } from "./client-extensions.ts";

export interface ClientCredentials {
  readonly user: string;
  readonly password: string;
}

/** An exchange under way. Lines go without base64 here; that is the session's affair. */
export interface SaslClient {
  readonly mechanism: "SCRAM-SHA-256" | "PLAIN" | "LOGIN";
  /** What goes with AUTH itself; null: the server speaks first. RFC 4954 §4. */
  readonly initial: string | null;
  /** The answer to a challenge (334). Throws an Error where the server proves to be another than the one that knows the password. */
  answer(challenge: string): string;
  /** Whether a success may be believed by now: SCRAM's server has proved itself. */
  readonly complete: boolean;
}

/** Iterations a server may ask for: more would keep the whole process busy. */
const iterationsMax = 200_000;
/** RFC 5802 §5.1 and RFC 7677 §4 ask for at least 4,096: fewer give the password away to whoever listens. */
const iterationsMin = 4_096;

/** The best mechanism the server offers; null where it offers none we know. What proves a password without telling it comes first. */
export function chooseMechanism(extensions: Extensions): SaslClient["mechanism"] | null {
  const offered = new Set((extensions.get("AUTH") ?? "").toUpperCase().split(/\s+/));
  return (["SCRAM-SHA-256", "PLAIN", "LOGIN"] as const).find((mechanism) => offered.has(mechanism)) ?? null;
}

/** `nonce` is for tests with known answers. */
export function createSaslClient(
  mechanism: SaslClient["mechanism"],
  { user, password }: ClientCredentials,
  nonce = randomBytes(18).toString("base64"),
): SaslClient {
  switch (mechanism) {
    case "PLAIN":
      return { mechanism, initial: `\0${user}\0${password}`, complete: true, answer: unexpected };
    case "LOGIN": {
      // LOGIN has no RFC: the server asks for the user, then for the password, in words that differ.
      const answers = [user, password];
      return { mechanism, initial: null, complete: true, answer: () => answers.shift() ?? unexpected() };
    }
    case "SCRAM-SHA-256":
      return new ScramClient(user, password, nonce);
  }
}

function unexpected(): never {
  throw new Error("it asks for more than the mechanism has to say");
}

class ScramClient implements SaslClient {
  readonly mechanism = "SCRAM-SHA-256";
  readonly initial: string;
  readonly #password: string;
  readonly #nonce: string;
  readonly #firstBare: string;
  #serverSignature: Buffer | undefined;
  #complete = false;

  constructor(user: string, password: string, nonce: string) {
    // RFC 5802 §5.1: "," and "=" are what the message itself is made with. (lenient: NFKC in the place of SASLprep, which it is for all that people type.)
    const name = user.normalize("NFKC").replaceAll("=", "=3D").replaceAll(",", "=2C");
    this.#password = password;
    this.#nonce = nonce;
    this.#firstBare = `n=${name},r=${nonce}`;
    this.initial = `n,,${this.#firstBare}`;
  }

  get complete(): boolean {
    return this.#complete;
  }

  answer(challenge: string): string {
    if (this.#serverSignature === undefined) return this.#prove(challenge);
    if (this.#complete) unexpected();
    this.#verify(challenge);
    return "";
  }

  /** RFC 5802 §3, §7: server-first in, client-final out. */
  #prove(challenge: string): string {
    const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9]\d{0,8})(?:,.*)?$/.exec(challenge);
    if (!match) throw new Error("its SCRAM challenge cannot be read");
    const [, nonce, salt, count] = match as unknown as [string, string, string, string];
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length)
      throw new Error("its SCRAM nonce is not one that goes on from ours");
    const iterations = Number(count);
    if (iterations < iterationsMin || iterations > iterationsMax)
      throw new Error(`it asks for ${iterations} SCRAM iterations, expected ${iterationsMin} to ${iterationsMax}`);
    const salted = pbkdf2Sync(this.#password.normalize("NFKC"), Buffer.from(salt, "base64"), iterations, 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from("n,,").toString("base64")},r=${nonce}`;
    const signed = `${this.#firstBare},${challenge},${withoutProof}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((octet, i) => octet ^ signature[i]!));
    this.#serverSignature = hmac(hmac(salted, "Server Key"), signed);
    return `${withoutProof},p=${proof.toString("base64")}`;
  }

  #verify(challenge: string): void {
    const given = Buffer.from(/^v=([A-Za-z0-9+/]+={0,2})(?:,.*)?$/.exec(challenge)?.[1] ?? "", "base64");
    const wanted = this.#serverSignature!;
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
      throw new Error("it does not know the password itself: it is not the server we mean");
    this.#complete = true;
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
