/** SASL exchanges of the server, line by line: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 7677) inside AUTH (RFC 4954). Pure. */
import { type OwedReply, owed } from "./reply-effect.ts";
import { createScramNonce, isUserName, type ScramCredentials, ScramServerExchange } from "./scram.ts";
import type { ServerStep } from "./server-step.ts";

export const passwordMechanisms: readonly string[] = ["PLAIN", "LOGIN"];

const calledOff = wrong(501, "5.7.0", "The exchange was called off");
const noBase64 = wrong(501, "5.5.2", "This is not base64");
const unreadable = wrong(501, "5.5.2", "The credentials cannot be read");
const noBinding = wrong(501, "5.5.4", "Channel binding is not offered");
/** The same words as for any wrong password. RFC 4954 §6. */
const wrongProof = wrong(535, "5.7.8", "Authentication credentials invalid");

export class SaslExchange {
  readonly mechanism: string;
  readonly #scram: ScramServerExchange | null;
  #user: string | null = null;
  /** Of SCRAM: what the client's next line is. */
  #expected: "first" | "final" | "nothing" = "first";

  constructor(mechanism: string, createNonce: () => string = createScramNonce) {
    this.mechanism = mechanism;
    this.#scram = mechanism === "SCRAM-SHA-256" ? new ScramServerExchange(createNonce()) : null;
  }

  /** Where the client did not begin by itself. LOGIN has no RFC; its words are what clients look for. */
  begin(): OwedReply {
    return challengeOf(this.mechanism === "LOGIN" ? "Username:" : "");
  }

  /** The client's next line, "" where an initial answer is empty: what is to be done, or said. */
  take(line: string): ServerStep | OwedReply {
    if (line === "*") return calledOff;
    if (line.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(line)) return noBase64;
    const text = Buffer.from(line, "base64").toString("utf8");
    const { mechanism } = this;
    if (this.#scram) return this.#takeScram(this.#scram, text);
    if (mechanism === "LOGIN") {
      if (this.#user !== null) return { kind: "auth", mechanism, user: this.#user, secret: text };
      if (!isUserName(text)) return unreadable;
      this.#user = text;
      return challengeOf("Password:");
    }
    const credentials = parsePlain(text);
    return credentials ? { kind: "auth", mechanism, ...credentials } : unreadable;
  }

  /** Goes on behind the step `scram`. */
  challenge(credentials: ScramCredentials | null): OwedReply {
    this.#expected = "final";
    return challengeOf(this.#scram!.challenge(credentials));
  }

  #takeScram(scram: ScramServerExchange, text: string): ServerStep | OwedReply {
    const { mechanism } = this;
    if (this.#expected === "first") {
      const told = scram.takeFirst(text);
      if ("trouble" in told) return told.trouble === "channel-binding" ? noBinding : unreadable;
      this.#user = told.user;
      return { kind: "scram", mechanism, user: told.user };
    }
    // Our signature went out as a challenge: 235 cannot carry it. The client answers it with an empty line. RFC 4954 §4.
    if (this.#expected === "nothing")
      return text === "" ? { kind: "proved", mechanism, user: this.#user! } : unreadable;
    const signature = scram.takeFinal(text);
    if (signature === null) return wrongProof;
    this.#expected = "nothing";
    return challengeOf(signature);
  }
}

/** `[authzid] NUL authcid NUL password`; acting for somebody else is not taken. RFC 4616 §2. */
function parsePlain(text: string): { readonly user: string; readonly secret: string } | null {
  const [authorization, user, secret, ...more] = text.split("\0");
  if (authorization === undefined || user === undefined || secret === undefined || more.length > 0) return null;
  if (!isUserName(user)) return null;
  return authorization === "" || authorization === user ? { user, secret } : null;
}

function challengeOf(text: string): OwedReply {
  return owed("AUTH", { code: 334, status: undefined, text: Buffer.from(text).toString("base64") }, "challenge");
}

function wrong(code: number, status: string, text: string): OwedReply {
  return owed("AUTH", { code, status, text }, "error");
}
