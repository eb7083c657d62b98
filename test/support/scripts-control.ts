/** What the control socket does with scripts, by hand: it keeps what it was asked, and answers with a script that runs as asked. */
import type { ScriptsControl } from "../../src/admin/scripts-control.ts";
import type { ScriptView } from "../../src/admin/server-view.ts";

export function scriptView(parts: Partial<ScriptView> = {}): ScriptView {
  return {
    name: "scripts/a.ts",
    state: "live",
    version: `sha256:${"ab".repeat(32)}`,
    events: ["onArrival"],
    priority: 1000,
    rule: null,
    onFault: "defer",
    runs: 3,
    faults: 0,
    lastFault: null,
    since: "2026-11-02T09:00:00.000Z",
    pinned: null,
    pending: null,
    grants: [],
    warnings: [],
    ...parts,
  };
}

export function fakeScriptsControl(
  parts: Partial<ScriptsControl> = {},
): ScriptsControl & { readonly asked: unknown[][] } {
  const asked: unknown[][] = [];
  const kept = new Map<string, unknown>([["count", 3]]);
  return {
    asked,
    async rollback(...words) {
      asked.push(["rollback", ...words]);
      const version = `sha256:${"cd".repeat(32)}`;
      return scriptView({
        version,
        state: "pinned",
        pinned: { version, time: "2026-11-02T09:30:00.000Z", author: words[2] },
      });
    },
    async unpin(...words) {
      asked.push(["unpin", ...words]);
      return scriptView();
    },
    async approve(...words) {
      asked.push(["approve", ...words]);
      return scriptView();
    },
    store: {
      async list(script, page) {
        asked.push(["list", script, page]);
        const keys = [...kept.keys()]
          .filter((key) => key.startsWith(page.prefix) && key > page.after)
          .slice(0, page.limit);
        return { keys, usage: { entries: kept.size, sizeOctets: 100, sizeOctetsMax: 65_536 } };
      },
      get: async (_script, key) => kept.get(key) ?? null,
      async set(script, key, value, options) {
        asked.push(["set", script, key, value, options]);
        kept.set(key, value);
      },
      delete: async (_script, key) => kept.delete(key),
      async clear(script) {
        asked.push(["clear", script]);
        const { size } = kept;
        kept.clear();
        return size;
      },
    },
    ...parts,
  };
}
