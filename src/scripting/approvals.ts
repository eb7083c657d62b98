/** Who approved what scripts may use: `approvals.json` in the data folder of scripts. What was approved once for a script stays so for its later versions. */
import { readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Grants } from "../../sandbox/protocol.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { joinGrants } from "./grants.ts";

export interface Approval {
  readonly version: string;
  /** What it added, in words. */
  readonly added: readonly string[];
  readonly author: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

interface Approved {
  /** All of it together. */
  readonly grants: Grants;
  /** Oldest first. */
  readonly approvals: readonly Approval[];
}

/** Approvals that are remembered of one script. */
const approvalsMax = 100;

export class Approvals {
  readonly #path: string;
  #scripts: ReadonlyMap<string, Approved>;

  private constructor(path: string, scripts: ReadonlyMap<string, Approved>) {
    this.#path = path;
    this.#scripts = scripts;
  }

  /** A file that cannot be understood is put aside and told: what runs goes on, and what asks for more asks anew. Rejects where it cannot be read. */
  static async open(folder: string, log: Log): Promise<Approvals> {
    const path = join(folder, "approvals.json");
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return new Approvals(path, new Map());
    }
    try {
      return new Approvals(path, read(JSON.parse(text)));
    } catch (error) {
      const aside = join(folder, "approvals.damaged.json");
      await rename(path, aside);
      log.error("scripts.approvals-damaged", { file: path, aside, reason: describeThrown(error) });
      return new Approvals(path, new Map());
    }
  }

  /** The same for who only looks: where the file cannot be read, nothing is approved. */
  static async read(folder: string): Promise<Approvals> {
    const path = join(folder, "approvals.json");
    const scripts = await readFile(path, "utf8").then(
      (text) => read(JSON.parse(text)),
      () => new Map(),
    );
    return new Approvals(path, scripts);
  }

  /** All that was approved for a script. */
  of(script: string): Grants {
    return this.#scripts.get(script)?.grants ?? {};
  }

  /** Oldest first. */
  approvalsOf(script: string): readonly Approval[] {
    return this.#scripts.get(script)?.approvals ?? [];
  }

  /** Durable once this resolves. @throws the file system's error; then nothing changed */
  async approve(script: string, grants: Grants, approval: Approval): Promise<void> {
    const approved = {
      grants: joinGrants(this.of(script), grants),
      approvals: [...this.approvalsOf(script), approval].slice(-approvalsMax),
    };
    const scripts = new Map([...this.#scripts, [script, approved] as const]);
    await makeFolderDurably(dirname(this.#path));
    const text = `${JSON.stringify({ format: 1, scripts: Object.fromEntries(scripts) }, null, 2)}\n`;
    await writeDurably(this.#path, [Buffer.from(text)]);
    this.#scripts = scripts;
  }
}

function read(value: unknown): ReadonlyMap<string, Approved> {
  const { format, scripts } = (value ?? {}) as { readonly format?: unknown; readonly scripts?: unknown };
  if (format !== 1 || typeof scripts !== "object" || scripts === null) throw new Error("it is of no format we know");
  const entries = Object.entries(scripts as Record<string, Partial<Approved> | null>);
  for (const [script, approved] of entries) {
    if (!isGrants(approved?.grants) || !Array.isArray(approved?.approvals))
      throw new Error(`what it says of ${script} cannot be understood`);
  }
  // Looked at right above.
  return new Map(entries as [string, Approved][]);
}

function isGrants(value: unknown): value is Grants {
  if (typeof value !== "object" || value === null) return false;
  const { http = [], dns = true, kv = true, submit, secrets = [] } = value as Partial<Grants>;
  return isTexts(http) && dns === true && kv === true && isTexts(secrets) && (submit === undefined || isSubmit(submit));
}

function isSubmit(value: unknown): boolean {
  const { max, to } = (value ?? {}) as { readonly max?: unknown; readonly to?: unknown };
  return typeof max === "number" && (to === null || isTexts(to));
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
