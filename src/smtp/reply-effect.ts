/** What a reply changes in a session once it is said. It waits for that, since a sink may turn the reply into another. Pure but for the state it is given. */
import type { Reply } from "../mail/status.ts";
import { forgetDialogue, type SessionState } from "./server-order.ts";
import type { ServerStep } from "./server-step.ts";

export type Effect =
  | "none"
  | "greeting"
  | "helo"
  | "mail"
  | "rcpt"
  | "data"
  /** A chunk was taken, or refused. */
  | "chunk"
  /** The message was taken, or refused. */
  | "message"
  | "login"
  /** A SASL challenge: the client's answer is the next line. */
  | "challenge"
  /** A sink takes the next line. */
  | "capture"
  | "consumed"
  | "starttls"
  | "xclient"
  /** Counted against `errorsMax`. */
  | "error"
  /** Counted against `idleCommandsMax`. */
  | "idle"
  /** Nothing follows; the caller knows. */
  | "close"
  /** Nothing follows, and a `close` step says why. */
  | "quit"
  | "errors"
  | "pipelining";

/** A reply that is still to be said. */
export interface OwedReply {
  readonly kind: "owed";
  readonly verb: string;
  readonly reply: Reply;
  readonly effect: Effect;
}

export function owed(verb: string, reply: Reply, effect: Effect): OwedReply {
  return { kind: "owed", verb, reply, effect };
}

/** What the answer to a step changes. */
export function effectOfAnswer(kind: ServerStep["kind"]): Effect {
  switch (kind) {
    case "helo":
    case "mail":
    case "rcpt":
    case "data":
    case "xclient":
      return kind;
    case "end-of-data":
      return "message";
    case "auth":
    case "scram":
    case "proved":
      return "login";
    default:
      return "none";
  }
}

/** Applies what concerns the state alone; gives what is to be counted. */
export function applyEffect(
  effect: Effect,
  { code, verb }: { readonly code: number; readonly verb: string },
  state: SessionState,
): "error" | "idle" | null {
  const isPositive = code < 300;
  switch (effect) {
    case "helo": {
      // Refused, the session stays what it was. RFC 5321 §4.1.4.
      if (!isPositive) return null;
      const again = state.greeted;
      state.greeted = true;
      state.extended = verb !== "HELO";
      return again ? "idle" : null;
    }
    case "mail":
      if (isPositive) state.transaction = "mail";
      return null;
    case "rcpt":
      if (!isPositive) return null;
      state.transaction = "rcpt";
      state.recipients++;
      return null;
    case "chunk":
      if (!isPositive && state.transaction !== "none") state.transaction = "spoiled";
      return null;
    case "message":
      if (isPositive) state.idleCommands = 0;
      return null;
    case "login":
      if (!isPositive) return "error";
      state.authenticated = true;
      return null;
    case "consumed":
      return code >= 400 && verb === "AUTH" ? "error" : "idle";
    case "xclient":
      if (!isPositive) return null;
      forgetDialogue(state);
      // A login of the peer's own is not its client's.
      state.authenticated = state.claimsLogin;
      return null;
    case "error":
    case "idle":
      return effect;
    default:
      return null;
  }
}
