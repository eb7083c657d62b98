/** Gates: what a version has to pass, one after the other, before it goes live; behind compiling and loading, which are no gates but how there comes to be a version. */
import { type CompiledScript, type Grants, type ScriptExports, ScriptFaultError } from "../../sandbox/protocol.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Approvals } from "./approvals.ts";
import { checkCeiling, describeGrants, type GrantLimits, grantsBeyond, type IsLocal, joinGrants } from "./grants.ts";

/** A version that was saved, compiled and loaded. */
export interface Candidate {
  /** `scripts/a.ts` */
  readonly script: string;
  readonly file: string;
  readonly compiled: CompiledScript;
  readonly exports: ScriptExports;
  /** What runs now, and what it is granted; null where nothing does. */
  readonly live: { readonly version: string; readonly grants: Grants } | null;
  /** Whether this very version was live before. */
  readonly wasLive: boolean;
}

export interface Gate {
  readonly name: string;
  /** `block`: what it throws keeps the version from going live. `warn`: it is asked when the version is live already, and what it throws is a warning. */
  readonly policy: "block" | "warn";
  /** Gives warnings, a sentence each. @throws {Fault} where the version does not pass; {ScriptFaultError} the same, with its place */
  check(candidate: Candidate): readonly string[] | Promise<readonly string[]>;
}

/** What a gate that only warns has to say, a sentence each. */
export async function askWarner(gate: Gate, candidate: Candidate): Promise<readonly string[]> {
  try {
    return await gate.check(candidate);
  } catch (error) {
    return [error instanceof ScriptFaultError ? error.fault.message : describeThrown(error)];
  }
}

/** What the fault `grant.pending` carries: what has to be approved, and the same in words. */
export interface PendingFacts {
  readonly beyond: Grants;
  readonly added: readonly string[];
}

/** Lets nothing through that asks for more than the configuration allows, or than somebody has approved. */
export function createGrantsGate(options: {
  readonly limits: () => GrantLimits;
  readonly approvals: Approvals;
  readonly isLocal: IsLocal;
}): Gate {
  const { limits, approvals, isLocal } = options;
  return {
    name: "grants",
    policy: "block",
    check({ script, exports: { grants = {} }, live, wasLive }) {
      checkCeiling(script, grants, limits(), isLocal);
      // What went live before has been approved then.
      if (limits().approval === "ceiling" || wasLive) return [];
      const beyond = grantsBeyond(grants, joinGrants(approvals.of(script), live?.grants ?? {}), isLocal);
      const added = describeGrants(beyond);
      if (added.length === 0) return [];
      const facts: PendingFacts = { beyond, added };
      throw new Fault(
        "grant.pending",
        `Waits for onarrival scripts approve ${script}: it asks for what nobody has approved (${added.join("; ")})`,
        { facts: { ...facts } },
      );
    },
  };
}
