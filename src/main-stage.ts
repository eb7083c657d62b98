/**
 * The stage of a rehearsal without a server: what `serve` would bind, from the same files and by the same code, for commands that only read.
 * Nothing is written, and no port is opened.
 */

import { join } from "node:path";
import { stopCompiler } from "../sandbox/compile.ts";
import { Sandbox } from "../sandbox/host.ts";
import { defaultLimits, type ScriptLimits } from "../sandbox/protocol.ts";
import { BindingFile } from "./config/binding-file.ts";
import type { LoadedConfig } from "./config/load.ts";
import { type Binding, compareBindings, orderBindings } from "./events/binding.ts";
import { freshHealth } from "./events/health.ts";
import { proceed } from "./events/verdict.ts";
import { createBindingControl } from "./main-bindings.ts";
import { readListeners, siteFolder } from "./main-files.ts";
import { createMaker } from "./main-maker.ts";
import { OwnHandling } from "./main-own.ts";
import type { Stage } from "./main-rehearsal.ts";

import { systemClock } from "./platform/clock.ts";
import { silentLog } from "./platform/log.ts";
import { createResolver } from "./platform/resolver.ts";
import { Approvals } from "./scripting/approvals.ts";
import { createGrantsGate } from "./scripting/gates.ts";
import { capSubmit } from "./scripting/grants.ts";
import { ScriptRegistry } from "./scripting/registry.ts";
import { createScriptRunner } from "./scripting/runner.ts";
import { VersionStore } from "./scripting/versions.ts";
import { SinkLoader } from "./sinks/load-sinks.ts";

export interface OpenStage {
  readonly stage: Stage & { readonly own: OwnHandling };
  close(): Promise<void>;
}

/** @throws {Fault} as bindSite, `config.unreadable`, `sandbox.down` */
export async function openStage(loaded: LoadedConfig): Promise<OpenStage> {
  const { config } = loaded;
  const limits: ScriptLimits = { ...defaultLimits, ...config.scripts.limits };
  const { options: listeners, close: closeListeners } = await readListeners(config, {
    clock: systemClock,
    log: silentLog,
  });
  closeListeners();
  const sandbox = await Sandbox.start({ processes: 1, limits, rssMiBMax: config.scripts.rssMiBMax });
  const closeSandbox = async () => {
    await sandbox.close();
    await stopCompiler();
  };
  try {
    const site = await bindSite(loaded, sandbox, limits);
    const lists = orderBindings(site.bindings);
    const postmasterDomain = config.domains.local[0] ?? config.hostname;
    return {
      stage: {
        live: false,
        bindingsOf: (list) => lists[list] ?? [],
        healthOf: () => freshHealth,
        scripts: createScriptRunner({
          sandbox,
          limits,
          maker: createMaker({
            config,
            isLocal: (domain) => site.own.localDomains.has(domain),
            postmasterDomain: () => postmasterDomain,
            clock: systemClock,
          }),
          log: silentLog,
        }),
        listeners,
        postmasterDomain,
        own: site.own,
        clock: systemClock,
      },
      async close() {
        await site.close();
        await closeSandbox();
      },
    };
  } catch (error) {
    await closeSandbox();
    throw error;
  }
}

/** A rehearsal brings its own dispatcher. */
const nobody = { ask: () => proceed, bindingsOf: () => [] };

export interface BoundSite {
  /** Everything that is bound, in the order it is asked. */
  readonly bindings: readonly Binding[];
  readonly own: OwnHandling;
  close(): Promise<void>;
}

/** The bindings of a site, in a sandbox that is there. @throws {Fault} `bindings.unreadable`, `rule.syntax` */
export async function bindSite(loaded: LoadedConfig, sandbox: Sandbox, limits: ScriptLimits): Promise<BoundSite> {
  const { config } = loaded;
  const clock = systemClock;
  const configFolder = siteFolder(loaded);
  const resolver = createResolver({ clock, ...config.dns });
  const own = await OwnHandling.open({ config, events: nobody, clock, log: silentLog });
  const loader = new SinkLoader({ clock, log: silentLog, resolver, folder: null, configFolder });
  let bindings: readonly Binding[] = [];
  let scripts: readonly Binding[] = [];
  const control = createBindingControl({
    file: new BindingFile(config.data),
    loader,
    own: own.bindings,
    scripts: () => scripts,
    dispatcher: {
      replaceBindings(bound, released) {
        bindings = [...bound].sort(compareBindings);
        released?.();
      },
    },
    clock,
    log: silentLog,
    folder: configFolder,
  });
  const { grants } = config.scripts;
  const isLocal = (domain: string) => own.localDomains.has(domain);
  const kept = join(config.data, "scripts");
  const approvals = await Approvals.read(kept);
  const registry = new ScriptRegistry({
    folder: config.scripts.folder,
    sandbox,
    versions: new VersionStore({ folder: kept, versionsMax: () => config.scripts.versionsMax, log: silentLog }),
    readOnly: true,
    limits,
    packages: () => config.scripts.packages,
    gates: () => [createGrantsGate({ limits: () => grants, approvals, isLocal })],
    grantsOf: (asked) => capSubmit(asked, grants, isLocal),
    clock,
    log: silentLog,
    bind: (present, released) => {
      scripts = present;
      control.rebind(released);
    },
  });
  const close = async () => {
    await registry.stop();
    for (const { live } of registry.states()) if (live) sandbox.unload(live.version);
    await loader.close();
    await own.close();
    resolver.close();
  };
  try {
    await control.start(config.sinks);
    await registry.start();
    return { bindings, own, close };
  } catch (error) {
    await close();
    throw error;
  }
}
