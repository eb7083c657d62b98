/** What a configuration names outside itself, for `config check`: files, folders and sinks, tried as the server would, and let go of again. */
import type { LoadedConfig } from "./config/load.ts";
import type { ConfigProblem } from "./config/problem.ts";
import { checkScriptsFolder, readFirstLine, readListeners, readSmarthost, siteFolder } from "./main-files.ts";
import { compileRoutes } from "./outbound/router.ts";
import { systemClock } from "./platform/clock.ts";
import { describeThrown, Fault } from "./platform/fault.ts";
import { silentLog } from "./platform/log.ts";
import { createResolver } from "./platform/resolver.ts";
import { readReportTemplate } from "./queue/reports-template.ts";
import { checkAddressFiles } from "./sinks/address-files.ts";
import { SinkLoader } from "./sinks/load-sinks.ts";
import { readUsers } from "./sinks/users-file.ts";

/** Every problem, in the order of the configuration. Modules of sinks are loaded; nothing is written, and no port is opened. */
export async function checkNamed(loaded: LoadedConfig): Promise<readonly ConfigProblem[]> {
  const { config, file } = loaded;
  const problems: ConfigProblem[] = [];
  const note = (key: string, thrown: unknown) =>
    problems.push({ file: file ?? "", line: null, column: null, key, message: describeThrown(thrown), nearest: null });
  for (const listener of config.listeners) {
    await readListeners(
      { listeners: [listener], hostname: config.hostname },
      { clock: systemClock, log: silentLog },
    ).then(
      ({ close }) => close(),
      (error: unknown) => note(`listeners.${listener.name}`, error),
    );
  }
  for (const problem of checkAddressFiles(config.domains)) problems.push(problem);
  try {
    compileRoutes(config.routes);
  } catch (error) {
    note("routes", error);
  }
  await readUsers(config.auth.users).catch((error: unknown) => note("auth.users", error));
  const { secretFile } = config.delivery.http;
  if (secretFile !== null)
    await readFirstLine(secretFile, "delivery.http.secret_file").catch((error: unknown) =>
      note("delivery.http", error),
    );
  await readReportTemplate(config.delivery.reportTemplate).catch((error: unknown) => {
    const told = error instanceof Fault ? error.facts.problems : undefined;
    for (const one of Array.isArray(told) ? told : [error]) note("delivery.dsn.template", one);
  });
  await readSmarthost(config).catch((error: unknown) => note("delivery.smarthost", error));
  await checkScriptsFolder(config).catch((error: unknown) => note("scripts.folder", error));
  const resolver = createResolver({ clock: systemClock, ...config.dns });
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
