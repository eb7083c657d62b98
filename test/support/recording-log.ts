/** A log that keeps its lines for a test to look at. */
import type { Log, LogFields, LogLevel } from "../../src/platform/log.ts";

interface LogLine {
  readonly level: LogLevel;
  readonly event: string;
  readonly fields: LogFields;
}

export interface RecordingLog extends Log {
  readonly lines: readonly LogLine[];
  /** The lines of one event. */
  of(event: string): readonly LogLine[];
}

export function createRecordingLog(): RecordingLog {
  const lines: LogLine[] = [];
  return { ...recordInto(lines, {}), lines, of: (event) => lines.filter((line) => line.event === event) };
}

function recordInto(lines: LogLine[], common: LogFields): Log {
  const write =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}) => {
      lines.push({ level, event, fields: { ...common, ...fields } });
    };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    with: (fields) => recordInto(lines, { ...common, ...fields }),
  };
}
