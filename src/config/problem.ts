/** What is wrong with a configuration, one problem after the other, and how it is said. Light: also a command that reads none can report one. */
import { Fault } from "../platform/fault.ts";

export interface ConfigProblem {
  /** The file, or the flag or environment name the value came from. */
  readonly file: string;
  /** From 1; null where the value is not from the file. */
  readonly line: number | null;
  readonly column: number | null;
  readonly key: string;
  readonly message: string;
  /** What was probably meant. */
  readonly nearest: string | null;
}

/** A problem in one line: `onarrival.toml:12:3: listeners.mx.port: expected …; did you mean …?` */
export function formatProblem({ file, line, column, key, message, nearest }: ConfigProblem): string {
  const place = line === null ? file : `${file}:${line}:${column}`;
  return `${place}: ${key === "" ? "" : `${key}: `}${message}${nearest === null ? "" : `; did you mean ${JSON.stringify(nearest)}?`}`;
}

/** The problems a `config.invalid` fault carries; none for any other. */
export function problemsOf(thrown: unknown): readonly ConfigProblem[] {
  if (!(thrown instanceof Fault) || thrown.code !== "config.invalid") return [];
  // Only load.ts throws the code, always with these facts.
  return (thrown.facts.problems ?? []) as readonly ConfigProblem[];
}
