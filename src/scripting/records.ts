/**
 * Files of recorded runs: all that went into a run, the scripts that ran, and what came of it. Two lines of JSON each: the first says what the run was, the second is the
 * run. What is read is checked as far as it decides what is run; the rest goes into a sandbox, which trusts nothing. A secret is in none of it (sandbox/record.ts).
 */
import { open, readFile } from "node:fs/promises";
import type { CompiledScript, StepResult } from "../../sandbox/protocol.ts";
import { type Recording, type RunRecord, recordFormat } from "../../sandbox/record.ts";
import { Fault } from "../platform/fault.ts";

/** What a run was, for listings. */
export interface RunAbout {
  readonly onarrival: "run";
  readonly format: typeof recordFormat;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly event: string;
  /** Of the script that decided it, or had the fault. */
  readonly script: string;
  readonly version: string;
  /** null at an event without a message. */
  readonly message: string | null;
  readonly fault: { readonly code: string; readonly message: string; readonly at: string | null } | null;
}

export interface RecordedRun {
  readonly about: RunAbout;
  readonly scripts: readonly RecordedScript[];
  readonly record: RunRecord;
  /** As plain JSON: octets are base64. */
  readonly results: readonly PlainResult[];
}

export type RecordedScript = Pick<CompiledScript, "name" | "version" | "code" | "sourceMap" | "sources" | "packages">;

/** What a step came to, without what is measured: the same every time. */
export type PlainResult = Omit<StepResult, "effects" | "usage"> & {
  readonly effects: Readonly<Record<string, unknown>>;
};

const aboutOctetsMax = 65_536;
const fileOctetsMax = 512 * 1024 * 1024;

/** The text of a record's file. */
export async function writeRun(
  recording: Recording,
  steps: readonly StepResult[],
  options: { readonly at: number; readonly scriptOf: (version: string) => CompiledScript | undefined },
): Promise<{ readonly about: RunAbout; readonly text: string }> {
  // Before anything is waited for: a version may be gone soon.
  const versions = [...new Set(recording.request.steps.map(({ version }) => version))];
  const scripts = versions
    .map(options.scriptOf)
    .filter((script) => script !== undefined)
    .map(({ name, version, code, sourceMap, sources, packages }) => ({
      name,
      version,
      code,
      sourceMap,
      sources,
      packages,
    }));
  const record = await recording.record();
  const redaction = recording.redaction();
  const decisive = steps.find(({ fault }) => fault) ?? steps.at(-1);
  const { fault = null, version = "" } = decisive ?? {};
  const about: RunAbout = {
    onarrival: "run",
    format: recordFormat,
    at: options.at,
    event: record.event,
    script: scripts.find((script) => script.version === version)?.name ?? "",
    version,
    message: record.mail?.id ?? null,
    fault: fault && { code: fault.code, message: redaction.text(fault.message), at: fault.at },
  };
  const results = steps.map((step) => plainResult(step, (octets) => redaction.octets(octets)));
  const run = { scripts, record, results: redaction.json(results as never) };
  return { about, text: `${JSON.stringify(about)}\n${JSON.stringify(run)}\n` };
}

/** What a step came to as it is written down and compared. */
export function plainResult(
  { usage: _usage, ...result }: StepResult,
  octetsOf: (octets: Uint8Array) => Buffer = (octets) => Buffer.from(octets),
): PlainResult {
  const base64 = (octets: Uint8Array) => octetsOf(octets).toString("base64");
  const { splices, submissions, ...effects } = result.effects;
  const plain = {
    ...result,
    effects: {
      ...effects,
      ...(splices && { splices: splices.map((one) => ({ ...one, octets: base64(one.octets) })) }),
      ...(submissions && {
        submissions: submissions.map((one) => ({ ...one, octets: one.octets && base64(one.octets) })),
      }),
    },
  };
  // As it comes back from a file: without undefined.
  return JSON.parse(JSON.stringify(plain)) as PlainResult;
}

/** @throws {Fault} `script.record-invalid` */
export async function readRun(path: string): Promise<RecordedRun> {
  const octets = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw invalid(path, error.code === "ENOENT" ? "there is no such file" : (error.code ?? error.message));
  });
  if (octets.length > fileOctetsMax) throw invalid(path, "it is too large");
  const lines = octets.toString().split("\n");
  const about = checkAbout(parse(lines[0] ?? "", path), path);
  const run = parse(lines[1] ?? "", path) as Partial<RecordedRun>;
  const { scripts, record, results } = run;
  if (
    !Array.isArray(scripts) ||
    !Array.isArray(results) ||
    record?.format !== recordFormat ||
    !Array.isArray(record.steps)
  )
    throw invalid(path, "parts of the run are missing");
  for (const { name, version, code, sourceMap } of scripts as RecordedScript[])
    if ([name, version, code, sourceMap].some((text) => typeof text !== "string"))
      throw invalid(path, "a script of it is none");
  for (const { version } of record.steps)
    if (!scripts.some((script: RecordedScript) => script.version === version))
      throw invalid(path, `the script ${String(version)} is not in it`);
  return { about, scripts, record, results };
}

/** The first line alone. @throws {Fault} `script.record-invalid` */
export async function readAbout(path: string): Promise<RunAbout> {
  const file = await open(path, "r");
  try {
    const octets = Buffer.alloc(aboutOctetsMax);
    const { bytesRead } = await file.read(octets, 0, aboutOctetsMax, 0);
    return checkAbout(parse(octets.toString("utf8", 0, bytesRead).split("\n")[0]!, path), path);
  } finally {
    await file.close();
  }
}

function checkAbout(given: unknown, path: string): RunAbout {
  const about = given as Partial<RunAbout> | null;
  if (typeof about !== "object" || about?.onarrival !== "run") throw invalid(path, "it is no record of a run");
  if (about.format !== recordFormat)
    throw invalid(path, `it is of format ${String(about.format)}, expected ${recordFormat}: another edition wrote it`);
  return about as RunAbout;
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(path, "it is no record of a run");
  }
}

function invalid(path: string, reason: string): Fault {
  return new Fault("script.record-invalid", `Cannot read the record ${path}: ${reason}`);
}
