/** What a configuration names outside itself, for `config check`: files, folders and sinks, tried as the server would, and let go of again. */
import type { LoadedConfig } from "./config/load.ts";
import type { ConfigProblem } from "./config/problem.ts";
import { checkScriptsFolder, readListener, readSmarthost, siteFolder } from "./main-files.ts";
import { systemClock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import { silentLog } from "./platform/log.ts";
import { createResolver } from "./platform/resolver.ts";
import { SinkLoader } from "./sinks/load-sinks.ts";

/** Every problem, in the order of the configuration. Modules of sinks are loaded; nothing is written, and no port is opened. */
export async function checkNamed(loaded: LoadedConfig): Promise<readonly ConfigProblem[]> {
  const { config, file } = loaded;
  const problems: ConfigProblem[] = [];
  const note = (key: string, thrown: unknown) =>
    problems.push({ file: file ?? "", line: null, column: null, key, message: describeThrown(thrown), nearest: null });
  for (const listener of config.listeners) {
    await readListener(listener, config.hostname).catch((error: unknown) => note(`listeners.${listener.name}`, error));
  }
  await readSmarthost(config).catch((error: unknown) => note("delivery.smarthost", error));
  await checkScriptsFolder(config).catch((error: unknown) => note("scripts.folder", error));
  const resolver = createResolver({ clock: systemClock });
  const loader = new SinkLoader({
    clock: systemClock,
    log: silentLog,
    resolver,
    folder: null,
    configFolder: siteFolder(loaded),
  });
  try {
    const told = new Set<number>();
    for (const { target, createdOrder, name } of await loader.load(config.sinks)) {
      if (target.kind !== "broken" || told.has(createdOrder)) continue;
      told.add(createdOrder);
      note(`sinks.${createdOrder} (${name})`, new Error(target.reason));
    }
  } finally {
    await loader.close();
    resolver.close();
  }
  return problems;
}
