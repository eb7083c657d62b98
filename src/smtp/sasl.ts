/** SASL exchanges of the server: the mechanisms that hand over a password. RFC 4954, RFC 4616. Pure. */
import type { CommandError } from "./command.ts";

export interface Credentials {
  readonly user: string;
  readonly secret: string;
}

export const passwordMechanisms: readonly string[] = ["PLAIN", "LOGIN"];

/** What follows a line of the client's: a challenge (334), the credentials, or an error. */
export type SaslTurn =
  | { readonly challenge: string }
  | { readonly credentials: Credentials }
  | { readonly error: CommandError };

export class SaslExchange {
  readonly mechanism: string;
  #user: string | null = null;

  constructor(mechanism: string) {
    this.mechanism = mechanism;
  }

  /** The first challenge, where the client did not begin by itself. LOGIN has no RFC; its words are what clients look for. */
  get challenge(): string {
    return this.mechanism === "LOGIN" ? toBase64("Username:") : "";
  }

  take(line: string): SaslTurn {
    if (line === "*") return { error: { code: 501, status: "5.7.0", text: "The exchange was called off" } };
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(line)) {
      return { error: { code: 501, status: "5.5.2", text: "This is not base64" } };
    }
    const octets = Buffer.from(line, "base64");
    if (this.mechanism === "LOGIN") {
      if (this.#user !== null) return { credentials: { user: this.#user, secret: octets.toString("utf8") } };
      this.#user = octets.toString("utf8");
      return { challenge: toBase64("Password:") };
    }
    const credentials = parsePlain(octets);
    return credentials
      ? { credentials }
      : { error: { code: 501, status: "5.5.2", text: "The credentials cannot be read" } };
  }
}

/** `[authzid] NUL authcid NUL password`; acting for somebody else is not taken. RFC 4616 §2. */
function parsePlain(octets: Buffer): Credentials | null {
  const [authorization, user, secret, ...more] = octets.toString("utf8").split("\0");
  if (authorization === undefined || !user || secret === undefined || more.length > 0) return null;
  return authorization === "" || authorization === user ? { user, secret } : null;
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}
