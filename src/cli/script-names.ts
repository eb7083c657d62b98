/** Scripts and versions as people write them on the command line: `tag`, `tag.ts`, `scripts/tag.ts` are the same one. */
import { userInfo } from "node:os";
import { basename, relative } from "node:path";
import { listScripts } from "../../sandbox/watch.ts";
import { nearestWord } from "../platform/value.ts";
import type { VersionStore } from "../scripting/versions.ts";
import { UsageError } from "./failure.ts";
import type { CommandContext } from "./terminal.ts";

/** The name that is meant. @throws {UsageError} with the nearest one where there is none */
export function findScript(text: string, names: readonly string[]): string {
  const wanted = text.trim().replace(/^\.\//, "");
  const bare = (name: string) => name.slice(name.indexOf("/") + 1);
  const stem = (name: string) => bare(name).replace(/\.[^./]+$/, "");
  for (const nameOf of [(name: string) => name, bare, stem]) {
    const found = names.filter((name) => nameOf(name) === wanted);
    if (found.length === 1) return found[0]!;
    if (found.length > 1)
      throw new UsageError(`${JSON.stringify(wanted)} may be ${found.join(" or ")}: give the whole name`);
  }
  const nearest = nearestWord(
    wanted,
    names.flatMap((name) => [name, bare(name), stem(name)]),
  );
  throw new UsageError(
    `There is no script ${JSON.stringify(wanted)}`,
    nearest === undefined ? "onarrival scripts list shows them" : `Did you mean ${nearest}?`,
  );
}

/** Scripts that are in the folder, and those whose history is kept. */
export async function knownScripts(folder: string, versions: VersionStore): Promise<readonly string[]> {
  const present = (await listScripts(folder).catch(() => [])).map(
    (file) => `${basename(folder)}/${relative(folder, file)}`,
  );
  return [...new Set([...present, ...(await versions.scripts())])].sort();
}

/** Who gives the command: what is written down of it. */
export function authorOf(
  { author }: { readonly author?: string },
  { env }: Pick<CommandContext, "env">,
): string | null {
  if (author !== undefined) return author;
  if (env.SUDO_USER) return env.SUDO_USER;
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}
