/**
 * The border as the server sees it: what goes into a run and what comes out, as types. Plain data only. The frames it travels in are in wire.ts.
 * The server trusts nothing that comes from the other side: validate.ts checks every message before it is used.
 */
import type { AuthResults, Json } from "./api.ts";
import type { Grants, HostCalls } from "./host-call.ts";

export type { Grants } from "./host-call.ts";

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
  /** Octets of all a run answers: edits, verdict and log; without the content of parts it writes. */
  readonly resultOctetsMax: number;
  /** Octets of the parts a run writes: texts, attachments, new messages. */
  readonly contentOctetsMax: number;
  /** What a run may ask of the server: HTTP, names, its store. */
  readonly callsMax: number;
}

export const defaultLimits: ScriptLimits = {
  cpuMs: 500,
  wallMs: 5_000,
  heapMiB: 64,
  actionsMax: 1_000,
  logLinesMax: 100,
  logLineOctetsMax: 2_000,
  resultOctetsMax: 1_048_576,
  contentOctetsMax: 26_214_400,
  callsMax: 50,
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
  /** Their text, by the names the source map has for them. */
  readonly sources: Readonly<Record<string, string>>;
  /** npm packages that went in as well, `postal-mime@2.4.4`. Their files are in the version, and are not watched. */
  readonly packages?: readonly string[];
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
  readonly grants?: Grants;
  /** Whether it is a worker: a default export with `email`, which handles onArrival. */
  readonly worker?: true;
}

/** Why a script could not be compiled, loaded, or finish a run. The codes are those of the server's fault registry. */
export interface ScriptFault {
  readonly code:
    | "script.compile"
    | "script.file"
    | "script.import"
    | "script.package"
    | "script.exports"
    | "script.types"
    | "script.load"
    | "script.threw"
    | "script.never-settled"
    | "script.cpu-limit"
    | "script.wall-limit"
    | "script.heap-limit"
    | "script.action-limit"
    | "script.action-invalid"
    | "script.protected"
    | "script.died"
    | "grant.missing"
    | "grant.limit"
    | "script.no-answer"
    | "script.tests-failed"
    | "script.replay-diverged";
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
  /** Absent: none. */
  readonly notes?: { readonly [name: string]: Json };
}

/**
 * The event, beside the message: its facts by the names of the API (`recipient`, `nextHop`, …), and for an event without a message the session.
 * The guest shows them as they are, frozen.
 */
export interface SubjectInput {
  readonly [name: string]: Json;
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
  readonly grants: Grants;
  readonly properties: { readonly [name: string]: Json };
  /** The run's clock begins here (milliseconds since the Unix epoch), and its random numbers with this (32 hexadecimal digits). Absent: real ones. */
  readonly clock?: number;
  readonly seed?: string;
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
  /** null at an event without a message. */
  readonly mail: MailInput | null;
  readonly subject: SubjectInput;
  readonly stopOnChange: boolean;
  /** Header, empty line and body as they are now; called only where a script looks inside. */
  readonly octets: () => Promise<Uint8Array>;
  /** Answers what scripts ask of the server while they run. */
  readonly calls: HostCalls;
}

export type VerdictResult =
  | { readonly kind: "proceed"; readonly settled: boolean }
  | {
      readonly kind: "refuse" | "defer" | "drop";
      readonly code?: number;
      readonly status?: string;
      readonly text: string;
    }
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
  readonly op: "add" | "remove" | "replace" | "rename" | "append" | "set" | "wrap";
  readonly part: string;
  readonly contentType: string;
  readonly fileName?: string;
}

/** A message that a run makes. The server writes its fields, and those it lacks. */
export interface SubmissionResult {
  readonly kind: "submit" | "reply" | "forward";
  /** As submission-id.ts has it; told to the script while it ran. */
  readonly id: string;
  /** The reverse-path; absent: of what is forwarded it stays, else it is the address of its From field. */
  readonly from?: string | null;
  readonly to: readonly string[];
  /** Empty for the message in hand. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The body; null: the message in hand, as it is behind this run. */
  readonly octets: Uint8Array | null;
  /** Of a reply: whoever was answered already within so many milliseconds is not answered again. */
  readonly onceWithinMs?: number;
}

/** For recipients: null is all there are. */
export interface WayResult {
  readonly recipients: readonly string[] | null;
  /** A next hop in words, or a folder; null is none. */
  readonly to: string | null;
}

/** One recipient is refused, the others are not: what a worker's `setReject` means where a message has several. */
export interface RecipientRefusal {
  readonly recipient: string;
  readonly code: number;
  readonly status: string;
  readonly text: string;
}

/** A function of the event's subject to call, such as `setBanner`. */
export interface PowerCall {
  readonly name: string;
  readonly args: readonly Json[];
}

/** All that a run asks for; the server applies all of it or nothing. What is absent stays as it is. */
export interface Effects {
  readonly from?: string | null;
  readonly to?: readonly string[];
  /** Every field of the new header, in order. */
  readonly fields?: readonly FieldResult[];
  readonly splices?: readonly BodySplice[];
  readonly parts?: readonly PartChange[];
  /** All of them, in the place of those there were. */
  readonly notes?: { readonly [name: string]: Json };
  readonly routes?: readonly WayResult[];
  readonly folders?: readonly WayResult[];
  readonly refusals?: readonly RecipientRefusal[];
  readonly submissions?: readonly SubmissionResult[];
  readonly powers?: readonly PowerCall[];
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
