/**
 * The log as a port: one structured line per outcome, dotted past-tense names, ids always, message text and credentials never.
 * pino writes the lines; it escapes control characters, so a peer's words cannot forge a line.
 */
import { type DestinationStream, pino } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** The same log with `fields` on every line. */
  with(fields: LogFields): Log;
}

/** Hears of lines of level warn and error as they are written. */
export type LogListener = (level: "warn" | "error", event: string, fields: LogFields) => void;

/** The same log; `listener` hears of its warnings and errors besides. What it throws is not heard of; lines it causes are not told to it again. */
export function withListener(log: Log, listener: LogListener): Log {
  let telling = false;
  const hear = (level: "warn" | "error", event: string, fields: LogFields) => {
    if (telling) return;
    telling = true;
    try {
      listener(level, event, fields);
    } catch {
      // Who listens must not stop what is logged.
    } finally {
      telling = false;
    }
  };
  const listened = (inner: Log, bound: LogFields): Log => ({
    debug: (event, fields) => inner.debug(event, fields),
    info: (event, fields) => inner.info(event, fields),
    warn: (event, fields = {}) => {
      inner.warn(event, fields);
      hear("warn", event, { ...bound, ...fields });
    },
    error: (event, fields = {}) => {
      inner.error(event, fields);
      hear("error", event, { ...bound, ...fields });
    },
    with: (fields) => listened(inner.with(fields), { ...bound, ...fields }),
  });
  return listened(log, {});
}

/** A log that writes JSON lines to standard output, or to `destination`. */
export function createLog(options: { readonly level: LogLevel; readonly destination?: DestinationStream }): Log {
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? standardOutput(),
  );
  return wrap(logger);
}

/** Octets of lines that wait for room where the log is written; what comes above is lost. */
const waitingOctetsMax = 1_048_576;

/** A disk that is full, or a reader that is gone, costs lines of the log: never a message, never the server. */
function standardOutput(): DestinationStream {
  const stream = pino.destination({ fd: 1, sync: true, maxLength: waitingOctetsMax });
  stream.on("error", () => {});
  return stream;
}

/** A log that keeps nothing; for tools and tests that look elsewhere. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
};

interface LevelledLogger {
  debug(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  error(fields: LogFields, event: string): void;
  child(fields: LogFields): LevelledLogger;
}

function wrap(logger: LevelledLogger): Log {
  return {
    debug: (event, fields = {}) => logger.debug(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    error: (event, fields = {}) => logger.error(fields, event),
    with: (fields) => wrap(logger.child(fields)),
  };
}
