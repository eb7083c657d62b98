/** How a script stands: what the registry knows of it, and what it shows of that. */
import { type Grants, ScriptFaultError } from "../../sandbox/protocol.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Candidate, PendingFacts } from "./gates.ts";
import type { LiveVersion } from "./script-bindings.ts";
import type { ActivationCause, Pin } from "./versions.ts";

/** Why the file as it is now does not run. */
export interface BrokenEdit {
  readonly code: string;
  readonly message: string;
  readonly at: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
}

/** The file as it is now, which runs as soon as somebody approves what it asks for. */
export interface PendingVersion {
  readonly version: string;
  /** What has to be approved. */
  readonly beyond: Grants;
  /** The same in words. */
  readonly added: readonly string[];
  readonly message: string;
  /** Milliseconds since the Unix epoch. */
  readonly since: number;
}

export interface ScriptState {
  /** `scripts/tag-external.ts` */
  readonly name: string;
  readonly file: string;
  readonly live: LiveVersion | null;
  readonly broken: BrokenEdit | null;
  readonly pending: PendingVersion | null;
  readonly pinned: Pin | null;
  /** What the version that runs was granted when it went live. */
  readonly grants: Grants;
  /** About the version that runs, a sentence each. */
  readonly warnings: readonly string[];
}

/** The same while it changes. */
export interface Entry {
  readonly name: string;
  readonly file: string;
  live: LiveVersion | null;
  broken: BrokenEdit | null;
  pending: PendingVersion | null;
  pinned: Pin | null;
  warnings: readonly string[];
  /** Version of the file; null where it cannot be compiled. */
  saved: string | null;
  /** Files that went into it when it was last compiled. */
  inputs: readonly string[];
  /** What ran when the server stopped. */
  readonly lastLive: string | null;
  /** Every version that was live once, as far as that is kept. */
  readonly wasLive: Set<string>;
}

/** Who gave a command, and how a version came to be live by it. */
export interface Cause {
  readonly by: ActivationCause;
  /** Absent: the owner of the file. */
  readonly author?: string | null;
}

/** What a piece of work leaves to be done when its bindings are in force. */
export interface Job {
  /** Versions that are held until then. */
  readonly loaded: string[];
  /** On the disk: it comes last, and no message waits for it. */
  readonly writes: (() => Promise<void>)[];
  readonly activated: Candidate[];
}

export function stateOf(entry: Entry): ScriptState {
  const { name, file, live, broken, pending, pinned, warnings } = entry;
  return { name, file, live, broken, pending, pinned, grants: live?.exports.grants ?? {}, warnings };
}

export function brokenEdit(error: unknown): Omit<BrokenEdit, "since"> {
  if (error instanceof ScriptFaultError)
    return { code: error.fault.code, message: error.fault.message, at: error.fault.at };
  if (error instanceof Fault) return { code: error.code, message: error.message, at: null };
  return { code: "bug", message: describeThrown(error), at: null };
}

/** null where it is another fault than that somebody has to approve. */
export function pendingOf(error: unknown, version: string, since: number): PendingVersion | null {
  if (!(error instanceof Fault) || error.code !== "grant.pending") return null;
  // Its gate gives them.
  const { beyond, added } = error.facts as unknown as PendingFacts;
  return { version, beyond, added, message: error.message, since };
}
