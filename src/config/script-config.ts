/** What the program is told about scripts: their section of the configuration (script-options.ts) with all units in the names. */
import type { ScriptLimits } from "../../sandbox/protocol.ts";
import type { ValuesOf } from "./option.ts";
import type { scriptOptions } from "./script-options.ts";

const mib = 1024 * 1024;

export type GatePolicy = "off" | "warn" | "block";

export interface ScriptsConfig {
  readonly folder: string;
  readonly processes: number;
  readonly rssMiBMax: number;
  readonly packages: readonly string[];
  readonly types: GatePolicy;
  readonly tests: GatePolicy;
  readonly versionsMax: number;
  readonly limits: Pick<
    ScriptLimits,
    "cpuMs" | "wallMs" | "heapMiB" | "actionsMax" | "contentOctetsMax" | "callsMax" | "logLinesMax"
  >;
  readonly breaker: { readonly faults: number; readonly withinMs: number; readonly suspendMs: number };
  readonly grants: GrantCeiling;
  readonly records: KeepLimits & { readonly faults: boolean };
}

/** What may be granted at all, and how much of it a run may use. */
export interface GrantCeiling {
  readonly approval: "required" | "ceiling";
  readonly http: readonly string[];
  readonly privateAddresses: boolean;
  readonly httpRequestsMax: number;
  readonly httpOctetsMax: number;
  readonly httpTimeoutMs: number;
  readonly dns: boolean;
  readonly kv: boolean;
  readonly kvOctetsMax: number;
  readonly submitMax: number;
  readonly submitTo: readonly string[];
  readonly secrets: readonly string[];
  /** Absolute; null: `secrets` in the data folder. */
  readonly secretsFolder: string | null;
}

/** A folder that is kept small. */
export interface KeepLimits {
  readonly countMax: number;
  readonly octetsMax: number;
  readonly retentionMs: number;
}

export function scriptsConfigOf(scripts: ValuesOf<typeof scriptOptions>): ScriptsConfig {
  const { limits, breaker, grants, records } = scripts;
  return {
    folder: scripts.folder,
    processes: scripts.processes,
    rssMiBMax: Math.floor(scripts.rss_max / mib),
    packages: scripts.packages,
    types: scripts.types,
    tests: scripts.tests,
    versionsMax: scripts.versions_max,
    limits: {
      cpuMs: limits.cpu,
      wallMs: limits.wall,
      heapMiB: Math.floor(limits.heap / mib),
      actionsMax: limits.actions_max,
      contentOctetsMax: limits.content_max,
      callsMax: limits.calls_max,
      logLinesMax: limits.log_lines_max,
    },
    breaker: { faults: breaker.faults, withinMs: breaker.within, suspendMs: breaker.suspend },
    grants: {
      approval: grants.approval,
      http: grants.http,
      privateAddresses: grants.private_addresses,
      httpRequestsMax: grants.http_requests_max,
      httpOctetsMax: grants.http_size_max,
      httpTimeoutMs: grants.http_timeout,
      dns: grants.dns,
      kv: grants.kv,
      kvOctetsMax: grants.kv_size_max,
      submitMax: grants.submit,
      submitTo: grants.submit_to,
      secrets: grants.secrets,
      secretsFolder: grants.secrets_folder,
    },
    records: keepLimitsOf(records, { faults: records.faults }),
  };
}

function keepLimitsOf<More>(
  limits: { readonly count_max: number; readonly size_max: number; readonly retention: number },
  more: More,
): KeepLimits & More {
  return { countMax: limits.count_max, octetsMax: limits.size_max, retentionMs: limits.retention, ...more };
}
