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
}

/** Binds everything. What is given back lets go of it. A script that cannot run is left out, as the server does. @throws {Fault} `sink.load` */
export async function bindPipeline({
  config,
  sandbox,
  limits,
  dispatcher,
}: PipelineOptions): Promise<() => Promise<void>> {
  const own = serverBindings([{ sink: loopGuard(), events: ["onArrival"] }], priorityDefault);
  const sinks = await loadSinks(config.sinks, silentLog);
  const registry = new ScriptRegistry({
    folder: config.scripts.folder,
    sandbox,
    limits,
    clock: systemClock,
    log: silentLog,
    bind: (bindings: readonly Binding[], released) =>
      dispatcher.replaceBindings([...own, ...sinks.bindings, ...bindings], released),
  });
  await registry.start();
  return async () => {
    await registry.stop();
    for (const { live } of registry.states()) if (live) sandbox.unload(live.version);
    await sinks.close();
  };
}
