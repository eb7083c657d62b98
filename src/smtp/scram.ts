/** SCRAM-SHA-256: a password is proved without being told. RFC 5802, RFC 7677. Pure. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

/** What a server keeps of a password: enough to check a proof, too little to log in elsewhere. RFC 5802 §3. */
export interface ScramCredentials {
  readonly salt: Buffer;
  readonly iterations: number;
  /** SHA-256 of the client's key. */
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** RFC 7677 §4 asks for at least 4,096. */
export const scramIterationsDefault = 4_096;

/** Credentials of a password. Takes milliseconds: keep what it gives. RFC 5802 §3. */
export function deriveScramCredentials(
  password: string,
  { salt, iterations = scramIterationsDefault }: { readonly salt: Buffer; readonly iterations?: number },
): ScramCredentials {
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, 32, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  return {
    salt,
    iterations,
    storedKey: createHash("sha256").update(clientKey).digest(),
    serverKey: createHmac("sha256", salted).update("Server Key").digest(),
  };
}

/** A key of this process: what is made up for users nobody knows stays the same from one attempt to the next. */
const makeUpKey = randomBytes(32);

/**
 * Credentials for a user nobody knows, of which nobody has the key: nothing in what the client is told differs from a user's with a wrong password, as long as
 * passwords are kept with the default iterations. No proof holds against them. RFC 5802 §9.
 */
function makeUpCredentials(user: string): ScramCredentials {
  const make = (what: string) => createHmac("sha256", makeUpKey).update(`${what}\0${user}`).digest();
  return {
    salt: make("salt").subarray(0, 16),
    iterations: scramIterationsDefault,
    storedKey: make("stored key"),
    serverKey: make("server key"),
  };
}

/** What is wrong with a message of the client's. */
export interface ScramTrouble {
  readonly trouble: "syntax" | "channel-binding" | "other-user";
}

/** The server's side of one exchange: `takeFirst`, `challenge`, `takeFinal`, in this order. */
export class ScramServerExchange {
  /** Our part of the nonce: printable ASCII without a comma. RFC 5802 §5.1. */
  readonly #nonce: string;
  #header = "";
  #clientFirst = "";
  #serverFirst = "";
  #fullNonce = "";
  #user = "";
  #credentials: ScramCredentials | null = null;

  constructor(nonce: string) {
    this.#nonce = nonce;
  }

  /** `n,,n=ann,r=nonce`. What has `m=` is for a server that knows more, and fails. RFC 5802 §5.1, §7. */
  takeFirst(message: string): { readonly user: string } | ScramTrouble {
    // A client that binds the channel would be let down: that is not offered. `y`: it could, and sees that we cannot. RFC 5802 §6.
    if (/^p=/.test(message)) return { trouble: "channel-binding" };
    const match = /^([ny],(?:a=([^,\0]+))?,)(n=([^,\0]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-ln-z]=[^,\0]+)*)$/.exec(
      message,
    );
    if (!match) return { trouble: "syntax" };
    const user = decodeSaslName(match[4]!);
    const other = match[2] === undefined ? user : decodeSaslName(match[2]);
    if (user === null || other === null) return { trouble: "syntax" };
    // Acting for somebody else is not taken.
    if (other !== user) return { trouble: "other-user" };
    this.#header = match[1]!;
    this.#clientFirst = match[3]!;
    this.#fullNonce = `${match[5]}${this.#nonce}`;
    this.#user = user;
    return { user };
  }

  /** `r=nonce,s=salt,i=4096`. Without credentials the exchange goes on to the same end as with a wrong password. */
  challenge(credentials: ScramCredentials | null): string {
    this.#credentials = credentials ?? makeUpCredentials(this.#user);
    const { salt, iterations } = this.#credentials;
    this.#serverFirst = `r=${this.#fullNonce},s=${salt.toString("base64")},i=${iterations}`;
    return this.#serverFirst;
  }

  /** `c=biws,r=nonce,p=proof`: what to say in return, `v=signature`, where the proof holds; null where it does not. RFC 5802 §3, §5.1. */
  takeFinal(message: string): string | null {
    const match =
      /^(c=([A-Za-z0-9+/]+={0,2}),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-ln-z]=[^,\0]+)*?),p=([A-Za-z0-9+/]+={0,2})$/.exec(
        message,
      );
    if (!match || this.#credentials === null) return null;
    const header = Buffer.from(match[2]!, "base64").toString("utf8");
    const proof = Buffer.from(match[4]!, "base64");
    if (header !== this.#header || match[3] !== this.#fullNonce || proof.length !== 32) return null;
    const { storedKey, serverKey } = this.#credentials;
    const said = `${this.#clientFirst},${this.#serverFirst},${match[1]}`;
    const signature = createHmac("sha256", storedKey).update(said).digest();
    const clientKey = Buffer.from(proof.map((octet, i) => octet ^ signature[i]!));
    const holds = timingSafeEqual(createHash("sha256").update(clientKey).digest(), storedKey);
    if (!holds) return null;
    return `v=${createHmac("sha256", serverKey).update(said).digest("base64")}`;
  }
}

/** A fresh nonce: 144 bits. */
export function createScramNonce(): string {
  return randomBytes(18).toString("base64");
}

/** `=2C` is a comma, `=3D` an equals sign; null where another `=` is there, or it is no name. RFC 5802 §5.1; the form of RFC 4013 is only NFKC here. */
function decodeSaslName(text: string): string | null {
  if (/=(?!2C|3D)/.test(text)) return null;
  const name = text.replaceAll("=2C", ",").replaceAll("=3D", "=").normalize("NFKC");
  return isUserName(name) ? name : null;
}

/** Whether it can be a user's name: there is one, without control characters, which would be line ends to whoever writes it down. RFC 4013 §2.3. */
export function isUserName(text: string): boolean {
  return text !== "" && !/[\x00-\x1f\x7f-\x9f]/.test(text);
}
