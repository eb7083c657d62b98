/** What an operator does with scripts while the server runs: the control socket's side of registry, approvals and store. */
import type { Json } from "../sandbox/api.ts";
import type { ScriptsControl } from "./admin/scripts-control.ts";
import type { ScriptView, ServerView } from "./admin/server-view.ts";
import type { Clock } from "./platform/clock.ts";
import { Fault } from "./platform/fault.ts";
import type { Log } from "./platform/log.ts";
import type { Approvals } from "./scripting/approvals.ts";
import type { ScriptStore } from "./scripting/kv.ts";
import type { ScriptRegistry } from "./scripting/registry.ts";

export function createScriptsControl({
  registry,
  approvals,
  store,
  storeOctetsMax,
  view,
  clock,
  log,
}: {
  readonly registry: Pick<ScriptRegistry, "rollback" | "unpin" | "approve">;
  readonly approvals: Approvals;
  readonly store: ScriptStore;
  readonly storeOctetsMax: () => number;
  readonly view: Pick<ServerView, "scripts">;
  readonly clock: Clock;
  readonly log: Log;
}): ScriptsControl {
  const viewOf = (name: string): ScriptView => {
    const found = view.scripts().find((script) => script.name === name);
    if (!found) throw new Fault("script.no-version", `There is no script ${name} any more`);
    return found;
  };
  return {
    async rollback(script, version, author) {
      await registry.rollback(script, version, author);
      return viewOf(script);
    },
    async unpin(script, author) {
      await registry.unpin(script, author);
      return viewOf(script);
    },
    async approve(script, version, author) {
      await registry.approve(script, version, author, async ({ beyond, added }) => {
        await approvals.approve(script, beyond, { version, added, author, at: clock.now() });
        log.info("script.approved", { script, version, added, author });
      });
      return viewOf(script);
    },
    store: {
      async list(script, { prefix, ...page }) {
        const keys = await store.list(script, prefix, page);
        return { keys, usage: { ...(await store.usage(script)), sizeOctetsMax: storeOctetsMax() } };
      },
      get: (script, key) => store.get(script, key),
      async set(script, key, value, { ttlS }) {
        // It came as JSON.
        await store.set(script, key, value as Json, { ttlS });
      },
      delete: (script, key) => store.delete(script, key),
      clear: (script) => store.clear(script),
    },
  };
}
