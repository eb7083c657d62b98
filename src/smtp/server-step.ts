/** What a server session hands out to be done. */
import type { Parameters } from "./command.ts";

/** What is to be done. `answer` it with a reply, but for those that say otherwise. */
export type ServerStep =
  /** EHLO or HELO; answered 250 it is said what we can. A transaction in hand is over. RFC 5321 §4.1.4. */
  | { readonly kind: "helo"; readonly name: string }
  | { readonly kind: "mail" | "rcpt"; readonly path: string; readonly parameters: Parameters }
  /** DATA: answered 354, mail data follows. */
  | { readonly kind: "data" }
  /** BDAT begins a message; no answer is owed: call `goOn`. */
  | { readonly kind: "chunking" }
  /** Octets of the message; no answer is owed: call `goOn` when more may come. */
  | { readonly kind: "octets"; readonly octets: Buffer }
  /** The message is here. */
  | { readonly kind: "end-of-data" }
  /** A SASL exchange is complete. RFC 4954. */
  | { readonly kind: "auth"; readonly mechanism: string; readonly user: string; readonly secret: string }
  /** 220 was said: shake hands now, then call `secured`. RFC 3207. */
  | { readonly kind: "starttls" }
  /** The transaction is over without a message; no answer is owed. */
  | { readonly kind: "reset" }
  /** Nothing follows. */
  | { readonly kind: "close"; readonly reason: "quit" | "errors" | "pipelining" };
