/**
 * Scripts as a part of the server: sandbox, runner, store, versions, grants and registry put together, and the little of it that the rest of the
 * server needs.
 */
import { join } from "node:path";
import { stopCompiler } from "../sandbox/compile.ts";
import { Sandbox } from "../sandbox/host.ts";
import { defaultLimits, type Grants, type SandboxNotice, type ScriptLimits } from "../sandbox/protocol.ts";
import type { ScriptWatch } from "./admin/script-watch-control.ts";
import type { ScriptsControl } from "./admin/scripts-control.ts";
import type { ServerView } from "./admin/server-view.ts";
import type { Config } from "./config/schema.ts";
import type { Binding } from "./events/binding.ts";
import type { ScriptRunner } from "./events/script-runner.ts";
import type { Message } from "./mail/message.ts";
import { createMaker } from "./main-maker.ts";
import { createScriptsControl } from "./main-scripts-control.ts";
import { createScriptWatch } from "./main-shadow.ts";
import { testGates } from "./main-test-gate.ts";
import type { Clock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import { type Log, silentLog } from "./platform/log.ts";
import type { Metrics } from "./platform/metrics.ts";
import type { Resolver } from "./platform/resolver.ts";
import { AnsweredLately } from "./scripting/answered.ts";
import { Approvals } from "./scripting/approvals.ts";
import { createServerCalls } from "./scripting/calls.ts";
import { Figures } from "./scripting/figures.ts";
import { createGrantsGate, type Gate } from "./scripting/gates.ts";
import { capGrants, capSubmit, type IsLocal } from "./scripting/grants.ts";
import { ScriptStore } from "./scripting/kv.ts";
import { RecordsFolder } from "./scripting/records-folder.ts";
import { ScriptRegistry } from "./scripting/registry.ts";
import { createReviewGate } from "./scripting/review-gate.ts";
import { createScriptRunner } from "./scripting/runner.ts";
import { ScriptLog } from "./scripting/script-log.ts";
import { SecretFolder } from "./scripting/secrets.ts";
import { TypeChecker } from "./scripting/typecheck.ts";
import { createTypecheckGate } from "./scripting/typecheck-gate.ts";
import { recordVersions } from "./scripting/version-record.ts";
import { VersionStore } from "./scripting/versions.ts";

export interface Scripts {
  readonly registry: ScriptRegistry;
  /** What runs of each version did and took. */
  readonly figures: Figures;
  /** What they did and logged, for the control socket. */
  readonly watch: ScriptWatch;
  /** Runs them on mail. */
  readonly runner: ScriptRunner;
  /** Runs them where nothing is real, and logs nothing. */
  readonly rehearsals: ScriptRunner;
  /** What is bound of them now. */
  bindings(): readonly Binding[];
  /** What is left of a version's grants under the configuration as it is now. */
  granted(grants: Grants): Grants;
  /** Loads the folder and follows it; `rebind` puts what `bindings` gives in force. */
  start(rebind: (released: () => void) => void): Promise<void>;
  control(view: ServerView): ScriptsControl;
  /** Takes up what may change while they run, and looks at the whole folder again. */
  reload(config: Config): Promise<void>;
  /** Ends the sandbox; behind everything that might still run a script. */
  close(): Promise<void>;
}

export interface ScriptParts {
  readonly config: Config;
  readonly isLocal: IsLocal;
  /** Domain of the postmaster, in whose name a message goes out that names nobody. */
  readonly postmasterDomain: () => string;
  /** Takes messages into custody that no other one is committed with, and hands them to the queue. */
  readonly take: (messages: readonly Message[]) => Promise<void>;
  readonly resolver: Resolver;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long the history of a script outlives its file. */
const removedMs = 90 * 86_400_000;

/** @throws {Fault} `sandbox.down` */
export async function openScripts(parts: ScriptParts): Promise<Scripts> {
  const { config, isLocal, postmasterDomain, take, resolver, metrics, clock, log } = parts;
  let { scripts: present } = config;
  const limits: ScriptLimits = { ...defaultLimits, ...present.limits };
  const folder = join(config.data, "scripts");
  const versions = new VersionStore({ folder, versionsMax: () => present.versionsMax, log });
  const approvals = await Approvals.open(folder, log);
  const store = new ScriptStore({
    path: join(config.data, "kv.db"),
    octetsMax: () => present.grants.kvOctetsMax,
    clock,
    log,
  });
  const sandbox = await Sandbox.start({
    processes: present.processes,
    limits,
    rssMiBMax: present.rssMiBMax,
    onNotice: (notice) => reportNotice(notice, log, metrics),
  });
  const checker = new TypeChecker({ clock });
  const grantsGate = createGrantsGate({ limits: () => present.grants, approvals, isLocal });
  const review = createReviewGate({ clock });
  const making = { config, isLocal, postmasterDomain, clock };
  const createTestMaker = (take: ScriptParts["take"]) => createMaker({ ...making, take });
  const gatesOf = (scripts: Config["scripts"]): readonly Gate[] => [
    grantsGate,
    ...(scripts.types === "off" ? [] : [createTypecheckGate({ ...scripts, checker, policy: scripts.types, log })]),
    ...testGates({ sandbox, limits, config: { ...config, scripts }, createMaker: createTestMaker }),
    review,
  ];
  let gates = gatesOf(present);
  const calls = createServerCalls({
    limits: () => present.grants,
    resolver,
    kv: store,
    secrets: new SecretFolder(() => present.grants.secretsFolder ?? join(config.data, "secrets")),
    log,
  });
  const figures = new Figures();
  const lines = new ScriptLog(() => clock.now());
  const records = new RecordsFolder({
    folder: join(config.data, "records"),
    sandbox,
    limits: () => present.records,
    clock,
    log,
  });
  const answered = new AnsweredLately({ store, now: () => clock.now(), log });
  let bindings: readonly Binding[] = [];
  let rebind = (released: () => void): void => released();
  const registry = new ScriptRegistry({
    folder: present.folder,
    sandbox,
    versions,
    limits,
    packages: () => present.packages,
    gates: () => gates,
    grantsOf: (asked) => capSubmit(asked, present.grants, isLocal),
    clock,
    log,
    bind(bound, released) {
      bindings = bound;
      rebind(released);
    },
  });
  return {
    registry,
    figures,
    watch: createScriptWatch({ figures, lines, registry }),
    runner: recordVersions(
      createScriptRunner({
        sandbox: records.sandbox,
        limits,
        calls,
        maker: createMaker({ ...making, log, take, answered }),
        log,
        onRun(run) {
          metrics.countRun(run.script, run.fault ? "fault" : "ok", run.usage.wallMs / 1_000);
          figures.count(run);
          lines.add(run);
        },
      }),
    ),
    rehearsals: createScriptRunner({ sandbox, limits, maker: createMaker(making), log: silentLog }),
    bindings: () => bindings,
    granted: (grants) => capGrants(grants, present.grants, isLocal),
    async start(replace) {
      rebind = replace;
      await versions
        .forgetRemoved(clock.now() - removedMs)
        .catch((error: unknown) => log.warn("script.not-kept", { reason: describeThrown(error) }));
      await registry.start();
    },
    control: (view) =>
      createScriptsControl({
        registry,
        approvals,
        store,
        storeOctetsMax: () => present.grants.kvOctetsMax,
        view,
        clock,
        log,
      }),
    async reload(next) {
      ({ scripts: present } = next);
      gates = gatesOf(present);
      await registry.reload();
    },
    async close() {
      await checker.close();
      await review.close();
      await records.close();
      await store.close();
      await sandbox.close();
      await stopCompiler();
    },
  };
}

function reportNotice(notice: SandboxNotice, log: Log, metrics: Metrics): void {
  const { kind, ...facts } = notice;
  if (kind === "started") log.info("sandbox.started", { ...facts });
  else {
    metrics.sandboxDeaths++;
    log.warn(`sandbox.${kind}`, { ...facts });
  }
}
