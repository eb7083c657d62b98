/** Checks what a sandbox process says that a script exports: it was checked there as well (exports.ts), and is not trusted to have been. */
import { GrantsError, readGrants } from "./export-grants.ts";
import type { Grants, ScriptExports } from "./protocol.ts";
import { integer, list, ProtocolError, plain, record, text } from "./shape-check.ts";

/** @throws {ProtocolError} */
export function checkExportsFrame(given: unknown): ScriptExports {
  const exports = record(given, "exports");
  const handlers = list(exports["handlers"], 100, "handlers").map((name) => plain(name, 60, "handler"));
  const { rule, priority, phase, onFault, enabled, grants, worker } = exports;
  return {
    handlers,
    ...(rule === undefined ? {} : { rule: text(rule, 4_096, "rule") }),
    ...(priority === undefined ? {} : { priority: integer(priority, "priority") }),
    ...(phase === undefined ? {} : { phase: plain(phase, 20, "phase") }),
    ...(onFault === undefined ? {} : { onFault: plain(onFault, 20, "onFault") }),
    ...(enabled === undefined ? {} : { enabled: enabled === true }),
    ...(grants === undefined ? {} : { grants: checkGrants(grants) }),
    ...(worker === true ? { worker } : {}),
  };
}

function checkGrants(given: unknown): Grants {
  try {
    return readGrants(given);
  } catch (error) {
    if (error instanceof GrantsError) throw new ProtocolError(error.message);
    throw error;
  }
}
