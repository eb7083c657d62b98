/**
 * Records of runs that faulted, as the server keeps them: in `data/records`, of which there are only so many, so large, for so long. They are written when the run is over
 * and nobody waits for it. A run that does not fault costs what its record would be made of anyway; where faults come faster than they can be written, they are not recorded.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sandbox } from "../../sandbox/host.ts";
import type { RunAnswer, RunRequest, ScriptFault } from "../../sandbox/protocol.ts";
import { type Recording, recordRun } from "../../sandbox/record.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type RunAbout, readAbout, writeRun } from "./records.ts";

export interface RecordLimits {
  readonly faults: boolean;
  readonly countMax: number;
  readonly octetsMax: number;
  readonly retentionMs: number;
}

export interface RecordsOptions {
  readonly folder: string;
  readonly sandbox: Pick<Sandbox, "run" | "scriptOf">;
  /** Asked for anew each time. */
  readonly limits: () => RecordLimits;
  readonly clock: Clock;
  readonly log: Log;
}

interface Kept {
  readonly name: string;
  readonly octets: number;
  readonly at: number;
}

/** Records that wait to be written. */
const waitingMax = 8;
/** Of the same fault in the same place of the same version: so many in that time tell all there is to tell. */
const sameMax = 5;
const sameMs = 3_600_000;
const sameKnownMax = 1_000;
const recordName = /^[\w.-]+\.json$/;

export class RecordsFolder {
  readonly #options: RecordsOptions;
  #kept: Kept[] | undefined;
  #waiting = 0;
  #work: Promise<void> = Promise.resolve();
  readonly #same = new Map<string, { count: number; readonly since: number }>();

  constructor(options: RecordsOptions) {
    this.#options = options;
  }

  /** A sandbox that keeps a record of every run with a fault. */
  get sandbox(): Pick<Sandbox, "run"> {
    return { run: (request) => this.#run(request) };
  }

  /** Resolves when what was to be written is. */
  async close(): Promise<void> {
    await this.#work;
  }

  async #run(request: RunRequest): Promise<RunAnswer> {
    const { sandbox, limits } = this.#options;
    const { faults, countMax } = limits();
    if (!faults || countMax === 0) return await sandbox.run(request);
    const recording = recordRun(request);
    const answer = await sandbox.run(recording.request);
    const failed = answer.steps.find(({ fault }) => fault);
    if (failed && this.#isNews(failed.version, failed.fault!)) this.#keep(recording, answer);
    return answer;
  }

  #isNews(version: string, { code, at }: ScriptFault): boolean {
    const now = this.#options.clock.now();
    const key = `${version} ${code} ${at ?? ""}`;
    const before = this.#same.get(key);
    const same = before && now - before.since < sameMs ? before : { count: 0, since: now };
    this.#same.delete(key);
    this.#same.set(key, same);
    if (this.#same.size > sameKnownMax) this.#same.delete(this.#same.keys().next().value!);
    return ++same.count <= sameMax;
  }

  #keep(recording: Recording, { steps }: RunAnswer): void {
    const { sandbox, clock, log } = this.#options;
    if (this.#waiting >= waitingMax) return;
    this.#waiting++;
    const at = clock.now();
    const written = writeRun(recording, steps, { at, scriptOf: (version) => sandbox.scriptOf(version) });
    this.#work = this.#work
      .then(async () => await this.#write(await written))
      .catch((error: unknown) => log.warn("script.not-recorded", { reason: describeThrown(error) }))
      .finally(() => void this.#waiting--);
  }

  async #write({ about, text }: { readonly about: RunAbout; readonly text: string }): Promise<void> {
    const { folder, limits, log } = this.#options;
    const { octetsMax } = limits();
    const octets = Buffer.byteLength(text);
    // One run shall not push out all the others.
    if (octets > octetsMax / 4) {
      log.info("script.not-recorded", { script: about.script, message: about.message, reason: `${octets} octets` });
      return;
    }
    this.#kept ??= await this.#read();
    const stamp = new Date(about.at).toISOString().replace(/[-:]/g, "").replace(".", "-");
    const script = about.script.replace(/^.*\//, "").replace(/[^\w-]+/g, "_");
    const name = `${stamp}-${script}-${randomBytes(3).toString("hex")}.json`;
    const path = join(folder, name);
    await writeFile(`${path}.tmp`, text, { mode: 0o600, flag: "wx" });
    await rename(`${path}.tmp`, path);
    this.#kept.push({ name, octets, at: about.at });
    await this.#prune(this.#kept);
    log.info("script.recorded", { script: about.script, version: about.version, message: about.message, record: name });
  }

  async #read(): Promise<Kept[]> {
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const kept: Kept[] = [];
    for (const name of await readdir(folder)) {
      // What a kill left half-written.
      if (name.endsWith(".json.tmp")) await rm(join(folder, name), { force: true });
      if (!recordName.test(name)) continue;
      const { size, mtimeMs } = await stat(join(folder, name));
      kept.push({ name, octets: size, at: mtimeMs });
    }
    return kept.sort((one, other) => one.at - other.at);
  }

  /** The oldest go. */
  async #prune(kept: Kept[]): Promise<void> {
    const { folder, limits, clock } = this.#options;
    const { countMax, octetsMax, retentionMs } = limits();
    let octets = kept.reduce((sum, one) => sum + one.octets, 0);
    for (;;) {
      const [oldest] = kept;
      if (!oldest || (kept.length <= countMax && octets <= octetsMax && oldest.at > clock.now() - retentionMs)) return;
      kept.shift();
      octets -= oldest.octets;
      await rm(join(folder, oldest.name), { force: true });
    }
  }
}

/** What a folder of records holds, the latest first; files that are none are left out. */
export async function listRecords(
  folder: string,
): Promise<readonly (RunAbout & { readonly file: string; readonly octets: number })[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const found = [];
  for (const name of names.filter((one) => recordName.test(one))) {
    const file = join(folder, name);
    const about = await readAbout(file).catch(() => null);
    if (about) found.push({ ...about, file, octets: (await stat(file)).size });
  }
  return found.sort((one, other) => other.at - one.at);
}
