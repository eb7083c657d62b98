/**
 * The last good version of each script, compiled, in the data folder: a server that is started while an edit is broken runs what ran before it.
 * A lost or damaged file costs that, and nothing else.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CompiledScript } from "../../sandbox/protocol.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";

export class LastGood {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws the file system's error; then the version before it may still be there */
  async keep(script: CompiledScript): Promise<void> {
    await makeFolderDurably(this.#folder);
    const path = this.#path(script.name);
    await writeDurably(path, [Buffer.from(JSON.stringify(script))]);
  }

  /** Undefined where there is none that can be read. */
  async of(name: string): Promise<CompiledScript | undefined> {
    try {
      const script = JSON.parse(await readFile(this.#path(name), "utf8")) as Partial<CompiledScript> | null;
      return script?.name === name && isWhole(script) ? script : undefined;
    } catch {
      return undefined;
    }
  }

  async forget(name: string): Promise<void> {
    await rm(this.#path(name), { force: true });
  }

  #path(name: string): string {
    return join(this.#folder, `${encodeURIComponent(name)}.json`);
  }
}

function isWhole(script: Partial<CompiledScript>): script is CompiledScript {
  const { version, code, sourceMap, inputs } = script;
  return [version, code, sourceMap].every((text) => typeof text === "string") && Array.isArray(inputs);
}
