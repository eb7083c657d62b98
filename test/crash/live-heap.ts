/** How much a server's heap holds behind a collection: what is left of it is what somebody still refers to. The server has to be started with `heapSignal`. */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Site } from "../support/site.ts";

/** Makes the server write a snapshot into its folder on SIGUSR2; a snapshot begins with a full collection. */
export const heapSignal: Readonly<Record<string, string>> = { NODE_OPTIONS: "--heapsnapshot-signal=SIGUSR2" };

export async function readLiveHeapMiB(site: Site): Promise<number> {
  process.kill(site.pid, "SIGUSR2");
  const file = await findSnapshot(site.folder);
  // It is whole when it does not grow any more.
  for (let size = -1; ; await sleep(500)) {
    const now = statSync(file).size;
    if (now === size && now > 0) break;
    size = now;
  }
  const { snapshot, nodes } = JSON.parse(readFileSync(file, "utf8")) as {
    readonly snapshot: { readonly meta: { readonly node_fields: readonly string[] } };
    readonly nodes: readonly number[];
  };
  rmSync(file);
  const fields = snapshot.meta.node_fields;
  let octets = 0;
  for (let at = fields.indexOf("self_size"); at < nodes.length; at += fields.length) octets += nodes[at]!;
  return Math.round(octets / 104_857.6) / 10;
}

async function findSnapshot(folder: string): Promise<string> {
  for (let i = 0; i < 150; i++, await sleep(200)) {
    const name = readdirSync(folder).find((one) => one.endsWith(".heapsnapshot"));
    if (name !== undefined) return join(folder, name);
  }
  throw new Error(`No heap snapshot in ${folder}`);
}
