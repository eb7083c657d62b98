/** `onarrival scripts kv`: what a script keeps in its store, and what an operator changes in it. The running server holds the store. */
import type { StoreUsage } from "../admin/scripts-control.ts";
import type { ScriptView } from "../admin/server-view.ts";
import { formatSize } from "../platform/value.ts";
import { reachServer } from "./bindings-change.ts";
import { type AnswerSource, confirm } from "./confirm.ts";
import { readDuration } from "./duration.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { findScript } from "./script-names.ts";
import type { SettingsFlags } from "./settings.ts";
import { type CommandContext, plain } from "./terminal.ts";

const verbs = ["list", "get", "set", "delete", "clear"] as const;
type Verb = (typeof verbs)[number];

/** How many words each takes behind it. */
const wordsOf: Readonly<Record<Verb, readonly [min: number, max: number, usage: string]>> = {
  list: [0, 1, "[PREFIX]"],
  get: [1, 1, "KEY"],
  set: [2, 2, "KEY JSON"],
  delete: [1, 1, "KEY"],
  clear: [0, 0, ""],
};

interface KeyPage {
  readonly keys: readonly string[];
  readonly usage: StoreUsage;
}

const keysPath = "/api/v1/scripts/store/keys";
const valuePath = "/api/v1/scripts/store/value";
const pageMax = 1_000;

export async function scriptStore(
  name: string,
  verbText: string,
  words: readonly string[],
  flags: SettingsFlags & { readonly json?: boolean; readonly yes?: boolean; readonly ttl?: string },
  context: CommandContext,
  input?: AnswerSource,
): Promise<ExitStatus> {
  const verb = readVerb(verbText, words);
  const ttlS = flags.ttl === undefined ? null : Math.ceil(readDuration("--ttl", flags.ttl) / 1_000);
  if (ttlS !== null && verb !== "set") throw new UsageError("--ttl goes with set");
  const ask = reachServer(flags, context);
  const { out, err } = context.terminal;
  const { scripts } = await ask<{ scripts: readonly ScriptView[] }>({ path: "/api/v1/scripts" });
  // What a script kept stays when its file is gone: its whole name still means it. The server's own has a colon.
  const script = /^[^/]+\/.+\.[a-z]+$|^onarrival:/.test(name)
    ? name
    : findScript(
        name,
        scripts.map((one) => one.name),
      );
  const [key = "", json = ""] = words;
  const place = `${valuePath}?${new URLSearchParams({ script, key })}`;
  switch (verb) {
    case "list": {
      const usage = await listKeys(ask, script, key, (found) =>
        out.write(found.map((one) => `${flags.json ? JSON.stringify({ key: one }) : plain(one)}\n`).join("")),
      );
      if (!flags.json)
        err.write(
          `${usage.entries === 1 ? "1 entry" : `${usage.entries} entries`} of ${plain(script)}, ${formatSize(usage.sizeOctets)} of ${formatSize(usage.sizeOctetsMax)}\n`,
        );
      return exitStatus.done;
    }
    case "get": {
      const { value } = await ask<{ value: unknown }>({ path: place });
      if (value === null) err.write(`${plain(script)} has no ${JSON.stringify(key)}, or null.\n`);
      out.write(`${JSON.stringify(value)}\n`);
      return value === null ? exitStatus.failed : exitStatus.done;
    }
    case "set":
      await ask({ method: "PUT", path: place, body: { value: readJson(json), ...(ttlS !== null && { ttlS }) } });
      return exitStatus.done;
    case "delete": {
      const { deleted } = await ask<{ deleted: boolean }>({ method: "DELETE", path: place });
      if (!deleted) err.write(`${plain(script)} has no ${JSON.stringify(key)}.\n`);
      return deleted ? exitStatus.done : exitStatus.failed;
    }
    case "clear": {
      if (!(await confirm(`Delete all that ${plain(script)} keeps in its store`, flags, context, input))) {
        err.write("Nothing was deleted.\n");
        return exitStatus.failed;
      }
      const path = `${keysPath}?${new URLSearchParams({ script })}`;
      const { removed } = await ask<{ removed: number }>({ method: "DELETE", path });
      out.write(flags.json ? `${JSON.stringify({ removed })}\n` : `Deleted ${removed}.\n`);
      return exitStatus.done;
    }
  }
}

async function listKeys(
  ask: ReturnType<typeof reachServer>,
  script: string,
  prefix: string,
  show: (keys: readonly string[]) => void,
): Promise<StoreUsage> {
  for (let after = ""; ; ) {
    const query = new URLSearchParams({ script, prefix, after, limit: String(pageMax) });
    const { keys, usage } = await ask<KeyPage>({ path: `${keysPath}?${query}` });
    show(keys);
    if (keys.length < pageMax) return usage;
    after = keys.at(-1)!;
  }
}

function readVerb(text: string, words: readonly string[]): Verb {
  const verb = verbs.find((one) => one === text);
  if (!verb)
    throw new UsageError(
      `${JSON.stringify(text)} is nothing that can be done with a store: expected ${verbs.join(", ")}`,
    );
  const [min, max, usage] = wordsOf[verb];
  if (words.length < min || words.length > max)
    throw new UsageError(`Expected: onarrival scripts kv NAME ${verb} ${usage}`.trimEnd());
  return verb;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${JSON.stringify(text.slice(0, 60))} is no JSON`, `A text is written '"so"'`);
  }
}
