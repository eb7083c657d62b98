/** What the registry of scripts leans on. */
import type { Sandbox } from "../../sandbox/host.ts";
import type { Grants, ScriptLimits } from "../../sandbox/protocol.ts";
import type { Binding } from "../events/binding.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Gate } from "./gates.ts";
import type { VersionStore } from "./versions.ts";

export interface RegistryOptions {
  /** Absolute path of the scripts folder. */
  readonly folder: string;
  readonly sandbox: Pick<Sandbox, "load" | "unload">;
  /** Where versions outlive the server; a test run has none. */
  readonly versions?: VersionStore;
  /** Whether nothing is written: a rehearsal reads what a server keeps. */
  readonly readOnly?: boolean;
  readonly limits: ScriptLimits;
  /** npm packages that scripts may import; absent: none. */
  readonly packages?: () => readonly string[];
  /** In the order in which a version meets them. */
  readonly gates?: () => readonly Gate[];
  /** What a version is granted of what it asks for; absent: nothing. */
  readonly grantsOf?: (asked: Grants) => Grants;
  readonly clock: Clock;
  readonly log: Log;
  /** Binds what is live now; calls `released` when no message uses the former bindings any more. */
  readonly bind: (bindings: readonly Binding[], released: () => void) => void;
}
