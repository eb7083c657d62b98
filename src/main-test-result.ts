/** What `onarrival test --json` prints for each message: a contract, its names stay. And what of it is the same from one run to the next. */
import { dirname, isAbsolute, relative, resolve, sep } from "node:path";
import type { Effects } from "../sandbox/protocol.ts";
import type { AppliedChanges } from "./scripting/apply.ts";
import type { AskedInTest } from "./scripting/test-answers.ts";

export interface TestResult {
  readonly file: string;
  /** `scripts/tag-external.ts`; `pipeline` where the whole list was asked. */
  readonly script: string;
  /** `sha256:…`; null where there is none, as for a script that does not compile. */
  readonly version: string | null;
  readonly event: string;
  /** Whether the script was asked: its rule held. */
  readonly matched: boolean;
  readonly envelope: { readonly from: string | null; readonly to: readonly string[] };
  /** What the server would do; after a fault, what the script's `onFault` makes of it. */
  readonly verdict: {
    readonly kind: string;
    readonly code?: number;
    readonly status?: string;
    readonly text?: string;
    readonly settled: boolean;
  };
  /** What the message would have changed in; nothing where it is not spooled. */
  readonly changes: AppliedChanges & Pick<Effects, "notes" | "routes" | "folders" | "refusals">;
  /** What was said by the powers of the event, in words: `offer X-TOKEN`; absent where nothing was. */
  readonly said?: readonly string[];
  readonly submissions: readonly {
    readonly from: string | null;
    readonly to: readonly string[];
    readonly subject: string;
  }[];
  /** What was asked of the server, in order; absent where nothing was, or nothing was there to answer. */
  readonly asked?: readonly AskedInTest[];
  /** `at`: RFC 3339. */
  readonly log: readonly { readonly level: string; readonly text: string; readonly at: string }[];
  readonly usage: { readonly cpuMs: number; readonly wallMs: number; readonly heapKiB: number };
  /** What could not be read as MIME wants it, where the script looked inside. */
  readonly defects: readonly string[];
  readonly fault: {
    readonly code: string;
    readonly message: string;
    readonly at: string | null;
    readonly stack: string;
  } | null;
}

/** One place where a result is not as expected. */
export interface Difference {
  /** `verdict.kind`, `changes.fields[0].after`; "" for the whole. */
  readonly path: string;
  /** undefined: nothing was expected there. */
  readonly expected: unknown;
  readonly found: unknown;
}

/** The result without what differs from run to run and from machine to machine; file names are relative to the expectation's folder. */
export function stableResult(
  { usage: _usage, version: _version, ...result }: TestResult,
  options: { readonly expectFile: string; readonly cwd: string },
): unknown {
  const stable = {
    ...result,
    file: result.file === "-" ? "-" : relativeName(result.file, options),
    log: result.log.map(({ level, text }) => ({ level, text })),
    fault: result.fault && { code: result.fault.code, message: result.fault.message, at: result.fault.at },
  };
  // As it comes back from a file: without undefined.
  return JSON.parse(JSON.stringify(stable)) as unknown;
}

/** What an expectation file holds: the one result, or a list of them. */
export function expectationOf(
  results: readonly TestResult[],
  options: { readonly expectFile: string; readonly cwd: string },
): unknown {
  const stable = results.map((result) => stableResult(result, options));
  return stable.length === 1 ? stable[0] : stable;
}

/**
 * Every place where `found` is not `expected`.
 * @param wants `all`: nothing else may be there; `part`: a member of an object that nothing is expected of does not count.
 */
export function compare(expected: unknown, found: unknown, wants: "all" | "part" = "all", path = ""): Difference[] {
  if (Array.isArray(expected) && Array.isArray(found)) {
    const length = Math.max(expected.length, found.length);
    return Array.from({ length }, (_, i) => compare(expected[i], found[i], wants, `${path}[${i}]`)).flat();
  }
  if (isObject(expected) && isObject(found)) {
    const keys = [...new Set([...Object.keys(expected), ...(wants === "all" ? Object.keys(found) : [])])];
    return keys.flatMap((key) =>
      compare(own(expected, key), own(found, key), wants, path === "" ? key : `${path}.${key}`),
    );
  }
  return Object.is(expected, found) ? [] : [{ path, expected, found }];
}

/** What is found at the places an expectation is about: the expectation, brought up to date. */
export function updated(expected: unknown, found: unknown): unknown {
  if (Array.isArray(expected) && Array.isArray(found))
    return found.map((item: unknown, i) => (i < expected.length ? updated(expected[i], item) : item));
  if (!isObject(expected) || !isObject(found)) return found;
  const keys = Object.keys(expected).filter((key) => Object.hasOwn(found, key));
  return Object.fromEntries(keys.map((key) => [key, updated(own(expected, key), own(found, key))]));
}

function own(value: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function relativeName(
  file: string,
  { expectFile, cwd }: { readonly expectFile: string; readonly cwd: string },
): string {
  const name = relative(dirname(resolve(cwd, expectFile)), isAbsolute(file) ? file : resolve(cwd, file));
  return name.split(sep).join("/");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
