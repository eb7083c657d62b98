/**
 * What a running server shows of itself: the port behind the control socket and the admin port. The composition root implements it;
 * everything here is plain data that goes out as JSON, with names that stay.
 */

/** Name of the control socket in the data folder. */
export const controlSocketName = "control.sock";

interface ScriptFaultView {
  readonly code: string;
  readonly message: string;
  /** `scripts/x.ts:12:7` where it is known. */
  readonly at: string | null;
  /** RFC 3339. */
  readonly time: string;
}

/**
 * `live`: the saved version runs. `broken-edit`: the saved version cannot run, the last good one does. `broken`: no version can run.
 * `pending`: the saved version waits for somebody to approve what it asks for; the one before runs, where there is one.
 * `pinned`: an earlier version runs in the place of the saved one. `suspended`: it failed too often and waits. `disabled`: kept, not run.
 */
export type ScriptState = "live" | "broken-edit" | "broken" | "pending" | "pinned" | "suspended" | "disabled";

export interface ScriptView {
  /** `scripts/tag-external.ts` */
  readonly name: string;
  readonly state: ScriptState;
  /** `sha256:…` of the version that runs; null where none does. */
  readonly version: string | null;
  readonly events: readonly string[];
  readonly priority: number;
  readonly rule: string | null;
  readonly onFault: string;
  /** Since the server started. */
  readonly runs: number;
  readonly faults: number;
  /** Why the saved version cannot run, or else how its last failed run failed. */
  readonly lastFault: ScriptFaultView | null;
  /** Since when this version runs, RFC 3339; null where none does. */
  readonly since: string | null;
  /** An earlier version that was put in the place of the saved one. */
  readonly pinned: { readonly version: string; readonly time: string; readonly author: string | null } | null;
  /** The saved version, where it waits for approval, and what has to be approved, in words. */
  readonly pending: { readonly version: string; readonly time: string; readonly added: readonly string[] } | null;
  /** What the version that runs is granted, in words. */
  readonly grants: readonly string[];
  /** About the version that runs, a sentence each. */
  readonly warnings: readonly string[];
}

export interface BindingFaultView {
  readonly code: string;
  readonly message: string;
  /** RFC 3339. */
  readonly time: string;
}

export interface BindingView {
  readonly id: string;
  readonly event: string;
  readonly name: string;
  /** `server`: its own handling, listed in its place. `added`: by `onarrival bindings add`. */
  readonly source: "server" | "config" | "added" | "script";
  /** `missing`: fields are set over a binding that is not there now. */
  readonly kind: "native" | "script" | "broken" | "missing";
  readonly priority: number;
  readonly rule: string | null;
  readonly enabled: boolean;
  /** Of onArrival: before the reply, or behind it. */
  readonly phase: "session" | "queue";
  readonly onFault: string;
  /** null for scripts and where nothing is said. */
  readonly timeoutMs: number | null;
  readonly maxFirings: number;
  readonly properties: Readonly<Record<string, unknown>>;
  /** Fields that an admin set in the place of what config or script say. */
  readonly overridden: readonly string[];
  /** Since the server started, or since it was bound. */
  readonly firings: number;
  readonly faults: number;
  /** `open`: suspended after too many faults. `probing`: one run tries whether it works again. */
  readonly breaker: "closed" | "open" | "probing";
  readonly lastFault: BindingFaultView | null;
  /** Why it is not asked, where it is not: broken, disabled, suspended. */
  readonly reason: string | null;
}

export interface ListenerView {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly role: string;
}

interface StatusView {
  readonly version: string;
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly hostname: string;
  readonly configFile: string | null;
  readonly data: string;
  readonly scripts: string;
  readonly listeners: readonly ListenerView[];
  readonly queue: { readonly messages: number; readonly recipients: number };
  readonly draining: boolean;
}

interface Readiness {
  readonly ready: boolean;
  /** One sentence each; empty where it is ready. */
  readonly reasons: readonly string[];
}

export interface ServerView {
  /** By name. */
  scripts(): readonly ScriptView[];
  /** By event in the table's order, then in the order they are asked. */
  bindings(): readonly BindingView[];
  status(): StatusView;
  ready(): Readiness;
  /** Prometheus text. */
  metrics(): Promise<string>;
}
