/** Scripts at work and edits on their way to them: what the control socket is told of figures and log lines. */
import type { ScriptWatch, VersionRole } from "./admin/script-watch-control.ts";
import type { Figures } from "./scripting/figures.ts";
import type { ScriptRegistry } from "./scripting/registry.ts";
import type { ScriptLog } from "./scripting/script-log.ts";

export function createScriptWatch({
  figures,
  lines,
  registry,
}: {
  readonly figures: Figures;
  readonly lines: ScriptLog;
  readonly registry: Pick<ScriptRegistry, "states">;
}): ScriptWatch {
  return {
    figures() {
      const live = new Map(registry.states().map(({ name, live }) => [name, live?.version]));
      const roleOf = (script: string, version: string): VersionRole =>
        live.get(script) === version ? "live" : "former";
      return figures.show().map(({ script, versions }) => ({
        script,
        versions: versions.map((one) => ({ ...one, role: roleOf(script, one.version) })),
      }));
    },
    lines,
  };
}
