/**
 * Verdicts: the answers of an ask event, one algebra for all of them. A verdict is a value; making one has no effect.
 * Which kinds an event takes stands in the event table (event.ts); the dispatcher refuses the others.
 */
import { isEnhancedStatus } from "../mail/status.ts";
import { Fault } from "../platform/fault.ts";

export type Verdict =
  | { readonly kind: "proceed"; readonly settled: boolean }
  | ({
      readonly kind: "refuse" | "defer" | "drop";
      readonly code: number;
      readonly status: string;
      readonly text: string;
    } & Decided)
  | ({ readonly kind: "discard" | "quarantine"; readonly reason: string } & Decided);

interface Decided {
  /** Id of the binding whose verdict it is; the dispatcher writes it. For operators, never for clients. */
  readonly by?: string;
}

export type VerdictKind = Verdict["kind"];

/** Octets of a verdict's text: it has to fit one reply line with code and status. RFC 5321 §4.5.3.1.5. */
export const verdictTextOctetsMax = 480;

/** No objection. */
export const proceed: Verdict = Object.freeze({ kind: "proceed", settled: false });
/** No objection, and the sinks behind this one are not asked; the server's own handling is. */
export const settle: Verdict = Object.freeze({ kind: "proceed", settled: true });

/** For good: the sender is told not to try again. @throws {Fault} `verdict.code`, `verdict.status`, `verdict.text` */
export function refuse(text: string, options: { readonly code?: number; readonly status?: string } = {}): Verdict {
  return reply("refuse", 5, text, options.code ?? 550, options.status ?? "5.7.1");
}

/** Not now: the sender is told to try again. @throws {Fault} `verdict.code`, `verdict.status`, `verdict.text` */
export function defer(text: string, options: { readonly code?: number; readonly status?: string } = {}): Verdict {
  return reply("defer", 4, text, options.code ?? 451, options.status ?? "4.7.1");
}

/** Accepted and dropped; always logged with the reason. @throws {Fault} `verdict.text` */
export function discard(reason: string): Verdict {
  return Object.freeze({ kind: "discard", reason: checkText(reason) });
}

/** Accepted and kept in badmail, from where it can be released. @throws {Fault} `verdict.text` */
export function quarantine(reason: string): Verdict {
  return Object.freeze({ kind: "quarantine", reason: checkText(reason) });
}

/** Reply and close the connection; protocol events only. @throws {Fault} `verdict.code`, `verdict.status`, `verdict.text` */
export function drop(
  text = "Closing connection",
  options: { readonly code?: number; readonly status?: string } = {},
): Verdict {
  const code = options.code ?? 421;
  return reply("drop", code >= 500 ? 5 : 4, text, code, options.status ?? `${code >= 500 ? 5 : 4}.7.0`);
}

interface Given {
  readonly text: string;
  readonly reason: string;
  readonly code?: number;
  readonly status?: string;
}

/**
 * The verdict in what a sink answered: nothing is `proceed`, and an object of the right shape will do, with the defaults of the functions above.
 * @throws {Fault} `verdict.code`, `verdict.status`, `verdict.text`, `verdict.not-allowed`
 */
export function readVerdict(answer: unknown): Verdict {
  if (answer === undefined || answer === null || answer === proceed) return proceed;
  // Trusted to be an object at most; the functions below check every text and number.
  const { kind, text, reason, code, status, settled } = answer as { kind?: unknown; settled?: unknown } & Given;
  const options = { ...(code === undefined ? {} : { code }), ...(status === undefined ? {} : { status }) };
  switch (kind) {
    case "proceed":
      return settled === true ? settle : proceed;
    case "refuse":
      return refuse(text, options);
    case "defer":
      return defer(text, options);
    case "drop":
      return drop(text, options);
    case "discard":
      return discard(reason);
    case "quarantine":
      return quarantine(reason);
    default:
      throw new Fault(
        "verdict.not-allowed",
        `Cannot take ${JSON.stringify(answer)?.slice(0, 80)} for a verdict: expected one of refuse(…), defer(…), discard(…), quarantine(…), drop(…), proceed, settle`,
      );
  }
}

/** A verdict in one short line for people: `refuse 550 5.7.1 Not here`. */
export function describeVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case "proceed":
      return verdict.settled ? "proceed (settled)" : "proceed";
    case "discard":
    case "quarantine":
      return `${verdict.kind}: ${verdict.reason}`;
    default:
      return `${verdict.kind} ${verdict.code} ${verdict.status} ${verdict.text}`;
  }
}

function reply(
  kind: "refuse" | "defer" | "drop",
  codeClass: 4 | 5,
  text: string,
  code: number,
  status: string,
): Verdict {
  if (!Number.isInteger(code) || Math.floor(code / 100) !== codeClass) {
    throw new Fault(
      "verdict.code",
      `Cannot ${kind} with code ${String(code)}: expected a number from ${codeClass}00 to ${codeClass}99`,
    );
  }
  if (!isEnhancedStatus(status) || !status.startsWith(`${codeClass}.`)) {
    throw new Fault(
      "verdict.status",
      `Cannot ${kind} with status ${JSON.stringify(status)}: expected ${codeClass}.x.y (RFC 3463)`,
    );
  }
  return Object.freeze({ kind, code, status, text: checkText(text) });
}

function checkText(text: string): string {
  if (typeof text !== "string" || text.trim() === "")
    throw new Fault("verdict.text", "Cannot give a verdict without words: expected a text");
  if (/[^\x20-\x7e\u00a0-\u{10ffff}]/u.test(text)) {
    throw new Fault("verdict.text", "Cannot give a verdict whose text holds control characters: expected one line");
  }
  if (Buffer.byteLength(text) > verdictTextOctetsMax) {
    throw new Fault("verdict.text", `Cannot give a verdict with a text of more than ${verdictTextOctetsMax} octets`);
  }
  return text;
}
