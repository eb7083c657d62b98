/**
 * Faults: what stops a piece of work, with a code that is stable, a blame, and the facts an operator needs.
 * Expected alternatives (a verdict, an outcome) are values and not faults; anything thrown that is not a Fault is a bug.
 */

/** Whose doing it is: decides the log level, and whether a client may be told more than "try again". */
export type Blame = "client" | "operator" | "peer" | "script" | "bug";

/** Every fault code there is, with its blame. The reference page and this table are checked against each other. */
export const faultCodes = {
  "address.syntax": "client",
  "address.too-long": "client",
  "path.syntax": "client",
  "path.too-long": "client",
  "header.field-name": "script",
  "header.field-value": "script",
  "verdict.code": "script",
  "verdict.status": "script",
  "verdict.text": "script",
  "verdict.not-allowed": "script",
  "rule.syntax": "operator",
  "binding.invalid": "operator",
  "binding.unknown": "operator",
  "binding.conflict": "operator",
  "sink.load": "operator",
  "sink.failed": "script",
  "sink.timeout": "script",
  "sink.properties": "operator",
  "bindings.unreadable": "operator",
  "reply.invalid": "script",
  "reply.custody": "script",
  "recipient.not-alone": "script",
  "decision.timeout": "operator",
  "command.not-allowed": "script",
  "message.revoked": "script",
  "next-hop.syntax": "operator",
  "resolution.invalid": "script",
  "recipients.fixed": "script",
  "folder.invalid": "script",
  "size.invalid": "script",
  "report.invalid": "script",
  "report.template": "operator",
  "users.unreadable": "operator",
  "user.invalid": "operator",
  "user.unknown": "operator",
  "user.exists": "operator",
  "config.invalid": "operator",
  "config.unreadable": "operator",
  "data.unusable": "operator",
  "listen.failed": "operator",
  "message.too-large": "client",
  "message.bare-line-end": "client",
  "message.nul": "client",
  "message.header-too-large": "client",
  "submission.malformed": "client",
  "submission.unreadable": "client",
  "badmail.unknown": "operator",
  "badmail.unreadable": "operator",
  "badmail.in-queue": "operator",
  "destination.invalid": "operator",
  "spool.failed": "operator",
  "spool.full": "operator",
  "spool.closed": "operator",
  "spool.unknown-message": "operator",
  "delivery.failed": "peer",
  "control.not-running": "operator",
  "control.refused": "operator",
  "control.invalid": "client",
  "script.compile": "script",
  "script.file": "script",
  "script.import": "script",
  "script.exports": "script",
  "script.load": "script",
  "script.threw": "script",
  "script.never-settled": "script",
  "script.cpu-limit": "script",
  "script.wall-limit": "script",
  "script.heap-limit": "script",
  "script.action-limit": "script",
  "script.action-invalid": "script",
  "script.died": "script",
  "script.suspended": "script",
  "script.types": "script",
  "script.tests-failed": "script",
  "script.package": "script",
  "script.protected": "script",
  "script.no-version": "operator",
  "script.record-invalid": "operator",
  "script.no-answer": "script",
  "script.replay-diverged": "script",
  "grant.missing": "script",
  "grant.limit": "script",
  "grant.pending": "operator",
  "grant.ceiling": "script",
  "kv.failed": "operator",
  "kv.full": "script",
  "sandbox.down": "operator",
  "sandbox.protocol": "bug",
} as const satisfies Record<string, Blame>;

export type FaultCode = keyof typeof faultCodes;

/** Work that could not be done. `message` is for operators; what a client hears is decided where replies are made. */
export class Fault extends Error {
  readonly code: FaultCode;
  /** Facts beside the message: ids, sizes, places. Never message text, never credentials. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: FaultCode,
    message: string,
    options: { readonly cause?: unknown; readonly facts?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get blame(): Blame {
    return faultCodes[this.code];
  }
}

/** The words of anything thrown, for a log line or a terminal: never empty, never more than `lengthMax` characters. */
export function describeThrown(thrown: unknown, lengthMax = 500): string {
  const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text;
}
