/** The whole onArrival list of the configuration, for `onarrival test --pipeline`: native sinks, scripts, and the server's own, as `serve` binds them. */
import type { Sandbox } from "../../sandbox/host.ts";
import type { ScriptLimits } from "../../sandbox/protocol.ts";
import type { Config } from "../config/schema.ts";
import { type Binding, priorityDefault } from "../events/binding.ts";
import type { Dispatcher } from "../events/dispatcher.ts";
import { systemClock } from "../platform/clock.ts";
import { silentLog } from "../platform/log.ts";
import { ScriptRegistry } from "../scripting/registry.ts";
import { loadSinks, serverBindings } from "../sinks/load-sinks.ts";
import { loopGuard } from "../sinks/loop-guard.ts";

interface PipelineOptions {
  readonly config: Config;
  readonly sandbox: Sandbox;
  readonly limits: ScriptLimits;
  readonly dispatcher: Dispatcher;
  readonly onBroken: (name: string, reason: string) => void;
}

/** Binds everything. What is given back lets go of it. What cannot run is left out, as the server does, and told to `onBroken`. */
export async function bindPipeline({
  config,
  sandbox,
  limits,
  dispatcher,
  onBroken,
}: PipelineOptions): Promise<() => Promise<void>> {
  const own = serverBindings([{ sink: loopGuard(), events: ["onArrival"] }], priorityDefault);
  const sinks = await loadSinks(config.sinks, silentLog);
  let bound: readonly Binding[] = [];
  const registry = new ScriptRegistry({
    folder: config.scripts.folder,
    sandbox,
    limits,
    clock: systemClock,
    log: silentLog,
    bind: (bindings: readonly Binding[], released) => {
      bound = [...own, ...sinks.bindings, ...bindings];
      dispatcher.replaceBindings(bound, released);
    },
  });
  await registry.start();
  for (const { name, event, enabled, target } of bound)
    if (enabled && event === "onArrival" && target.kind === "broken") onBroken(name, target.reason);
  return async () => {
    await registry.stop();
    for (const { live } of registry.states()) if (live) sandbox.unload(live.version);
    await sinks.close();
  };
}
