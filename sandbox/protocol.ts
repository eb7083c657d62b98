/**
 * The border: everything that crosses between the server and a sandbox process, as types. Plain data only: it is framed as JSON with a
 * binary tail (frame.ts). The server trusts nothing that comes from the other side: validate.ts checks every message before it is used.
 */
import type { AuthResults } from "./api.ts";

/** What a script may use in one run. */
export interface ScriptLimits {
  /** Time in which the script itself computes, in milliseconds. */
  readonly cpuMs: number;
  /** Time from the start of a run to its answer, in milliseconds; the watchdog in the server kills the process at its end. */
  readonly wallMs: number;
  /** Heap of the script's isolate, in MiB. */
  readonly heapMiB: number;
  /** Edits of one run. */
  readonly actionsMax: number;
  readonly logLinesMax: number;
  /** Octets of one log line; longer ones are cut. */
  readonly logLineOctetsMax: number;
  /** Octets of all a run answers: edits, verdict and log. */
  readonly resultOctetsMax: number;
}

export const defaultLimits: ScriptLimits = {
  cpuMs: 500,
  wallMs: 5_000,
  heapMiB: 64,
  actionsMax: 1_000,
  logLinesMax: 100,
  logLineOctetsMax: 2_000,
  resultOctetsMax: 1_048_576,
};

/** A script made ready to run: one file with all it imports, and the map back to its lines. */
export interface CompiledScript {
  /** As users say it: `scripts/tag-external.ts`. */
  readonly name: string;
  /** `sha256:` and the hash of every source that went in, in hexadecimal. */
  readonly version: string;
  readonly code: string;
  /** Source map (v3, JSON text) of `code`. */
  readonly sourceMap: string;
  /** Absolute paths of the files that went in; a change in any of them is a change of the script. */
  readonly inputs: readonly string[];
}

/** What a script exports, read when it was loaded; checked by whoever binds it. */
export interface ScriptExports {
  /** Names of exported handlers, `onArrival` for one. */
  readonly handlers: readonly string[];
  readonly rule?: string;
  readonly priority?: number;
  readonly phase?: string;
  readonly onFault?: string;
  readonly enabled?: boolean;
}

/** Why a script could not be compiled, loaded, or finish a run. The codes are those of the server's fault registry. */
export interface ScriptFault {
  readonly code:
    | "script.compile"
    | "script.file"
    | "script.import"
    | "script.exports"
    | "script.load"
    | "script.threw"
    | "script.never-settled"
    | "script.cpu-limit"
    | "script.wall-limit"
    | "script.heap-limit"
    | "script.action-limit"
    | "script.action-invalid"
    | "script.died";
  /** One line, no control characters, at most 500 characters. */
  readonly message: string;
  /** `scripts/x.ts:12:7`, line and column from 1, where it is known. */
  readonly at: string | null;
  /** Frames of the script's own files, mapped to their sources; "" where there are none. */
  readonly stack: string;
}

/** A compiled or loaded script that failed, as an exception. */
export class ScriptFaultError extends Error {
  readonly fault: ScriptFault;
  constructor(fault: ScriptFault) {
    super(fault.at ? `${fault.at}: ${fault.message}` : fault.message);
    this.name = "ScriptFaultError";
    this.fault = fault;
  }
}

/** Facts of the session, as a script sees them. */
export interface SessionInput {
  readonly id: string;
  readonly listener: string;
  readonly ip: string;
  readonly host: string | null;
  readonly helo: string;
  readonly user: string | null;
  readonly tls: string | null;
  readonly auth: AuthResults | null;
}

/** A message without its body, as it goes in. */
export interface MailInput {
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  readonly session: SessionInput;
  readonly envelope: { readonly from: string | null; readonly to: readonly string[] };
  /** Every field in order: name and unfolded, undecoded value. A line that is no field has the name "". */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Octets of the whole message. */
  readonly size: number;
}

/** One script to run. */
export interface RunStep {
  readonly bindingId: string;
  readonly version: string;
  readonly limits: ScriptLimits;
  /** Recipients that met the binding's rule; null: all there are when its turn comes. */
  readonly matchedRecipients: readonly string[] | null;
  /** Whether the steps behind this one are run although it faulted. */
  readonly proceedOnFault: boolean;
}

/**
 * Scripts to run one after the other on one message; each sees what those before it changed. The run ends early behind a step that gave a
 * verdict, settled, faulted (unless `proceedOnFault`), or edited the body; with `stopOnChange` also behind one that changed anything. It ends
 * as well behind a step that changed fields where the next one looks inside the body: the octets no longer fit, so whoever sent the run
 * applies what there is and sends the remaining steps with the octets as they are then.
 */
export interface RunRequest {
  readonly event: string;
  readonly steps: readonly RunStep[];
  readonly mail: MailInput;
  readonly stopOnChange: boolean;
  /** Header, empty line and body as they are now; called only where a script looks inside. */
  readonly octets: () => Promise<Uint8Array>;
}

export type VerdictResult =
  | { readonly kind: "proceed"; readonly settled: boolean }
  | { readonly kind: "refuse" | "defer"; readonly code?: number; readonly status?: string; readonly text: string }
  | { readonly kind: "discard" | "quarantine"; readonly reason: string };

/** A field of the result: the index of one that went in and stays as it is, or a new name and value. */
export type FieldResult = number | readonly [name: string, value: string];

/** Octets `start` to `end` of the body make way for `octets`. Splices are in order and do not overlap. */
export interface BodySplice {
  readonly start: number;
  readonly end: number;
  readonly octets: Uint8Array;
}

/** What happened to a part, for people; the octets are in the splices. */
export interface PartChange {
  readonly op: "remove" | "append";
  readonly part: string;
  readonly contentType: string;
  readonly fileName?: string;
}

/** All that a run asks for; the server applies all of it or nothing. What is absent stays as it is. */
export interface Effects {
  readonly from?: string | null;
  readonly to?: readonly string[];
  /** Every field of the new header, in order. */
  readonly fields?: readonly FieldResult[];
  readonly splices?: readonly BodySplice[];
  readonly parts?: readonly PartChange[];
}

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly text: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

export interface Usage {
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly heapKiB: number;
}

export interface StepResult {
  readonly bindingId: string;
  readonly version: string;
  /** Empty where the step faulted. */
  readonly effects: Effects;
  /** `proceed` where the step faulted: what a fault means is the server's to say. */
  readonly verdict: VerdictResult;
  readonly log: readonly LogEntry[];
  readonly usage: Usage;
  readonly fault: ScriptFault | null;
  /** What could not be read in the message while it was parsed; empty where nothing was parsed. */
  readonly defects: readonly string[];
}

/** As many results as steps were begun, in their order. */
export interface RunAnswer {
  readonly steps: readonly StepResult[];
}

/** What the sandbox tells the server about itself. */
export type SandboxNotice =
  | { readonly kind: "started"; readonly pid: number; readonly startMs: number }
  | { readonly kind: "died"; readonly pid: number; readonly reason: string }
  | { readonly kind: "killed"; readonly pid: number; readonly reason: "wall-limit" | "rss-limit" | "protocol" };

// -- Frames: one JSON text and a binary tail each (frame.ts). Between host and child only. -----------------------------------------------

export type ToChild =
  /** The tail is the code, then the source map. Answered by `loaded` where `warm`; else the script waits for its first run. */
  | {
      readonly t: "load";
      readonly id: number;
      readonly name: string;
      readonly version: string;
      readonly limits: ScriptLimits;
      readonly codeOctets: number;
      readonly warm: boolean;
    }
  | { readonly t: "unload"; readonly version: string }
  /** The tail is the MailInput as JSON, then the message's octets where they are sent at once. Answered by `done`. */
  | {
      readonly t: "run";
      readonly id: number;
      readonly event: string;
      readonly steps: readonly RunStep[];
      /** Faults that are known already, by index of the step: a repeat of a run whose process was killed. */
      readonly faults: Readonly<Record<string, ScriptFault>>;
      readonly stopOnChange: boolean;
      /** Reading this message's text took too long before: it is not tried again. */
      readonly unreadable: boolean;
      readonly mailOctets: number;
      readonly hasOctets: boolean;
    }
  /** The tail is the message: the answer to `need`. */
  | { readonly t: "octets"; readonly id: number }
  /** The run is of no use any more. */
  | { readonly t: "drop"; readonly id: number };

/** A step's result on its way: splices are ranges here, their octets are in the tail, in order. */
export interface StepFrame extends Omit<StepResult, "bindingId" | "version" | "effects"> {
  readonly effects: Omit<Effects, "splices"> & {
    readonly splices?: readonly (readonly [start: number, end: number, octets: number])[];
  };
  /** Whether the script looked inside the message: the octets are sent at once the next time. */
  readonly looked: boolean;
}

export type FromChild =
  | { readonly t: "ready" }
  | {
      readonly t: "loaded";
      readonly id: number;
      readonly exports: ScriptExports | null;
      readonly fault: ScriptFault | null;
    }
  | { readonly t: "need"; readonly id: number }
  /** From here on the child is busy with this step of this run; sent where the order of the runs does not tell. */
  | { readonly t: "at"; readonly id: number; readonly step: number; readonly parsing: boolean }
  | { readonly t: "done"; readonly id: number; readonly steps: readonly StepFrame[] };
