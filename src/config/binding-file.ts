/**
 * `data/bindings.json` and its backups: `data/bindings.backups/REVISION.json` holds every revision of the last fifty, the present one too.
 * A file that cannot be read is never written over, and neither is one that somebody changed by hand.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { type BindingDocument, emptyDocument, formatDocument, readDocument } from "./binding-document.ts";

const backupsMax = 50;

export class BindingFile {
  readonly path: string;
  readonly #backups: string;
  /** What the file held when it was taken up or written last; null where it was not there. */
  #text: string | null = null;
  #revision = 0;
  #read: { readonly text: string | null; readonly revision: number } = { text: null, revision: 0 };
  /** The same before the last write. */
  #former: { readonly text: string | null; readonly revision: number } = { text: null, revision: 0 };

  /** @param data The data folder. */
  constructor(data: string) {
    this.path = join(data, "bindings.json");
    this.#backups = join(data, "bindings.backups");
  }

  /**
   * The document; an empty one where there is no file yet. What was read is written over only after `takeUp`.
   * @throws {Fault} `bindings.unreadable`
   */
  async read(): Promise<BindingDocument> {
    const text = await this.#readText();
    try {
      const document = text === null ? emptyDocument : readDocument(text);
      this.#read = { text, revision: document.revision };
      return document;
    } catch (error) {
      const newest = (await this.revisions()).at(-1);
      const help =
        newest === undefined
          ? "correct it, or move it away to begin without"
          : `correct it, or put ${this.#backupPath(newest)} in its place`;
      throw new Fault("bindings.unreadable", `Cannot read ${this.path}: ${describeThrown(error)}; ${help}`, {
        cause: error,
        facts: { path: this.path },
      });
    }
  }

  /** What was read last is in force now. */
  takeUp(): void {
    this.#text = this.#read.text;
    this.#revision = this.#read.revision;
  }

  /** Whether what was read last is another content than the server wrote as that revision. */
  async isEdited(): Promise<boolean> {
    const { text, revision } = this.#read;
    const backup = await readFile(this.#backupPath(revision), "utf8").catch(() => undefined);
    return text !== null && backup !== undefined && backup !== text;
  }

  /**
   * Once this resolves, the document is what the next start reads, and its backup is there.
   * @throws {Fault} `binding.conflict` where the file was changed by hand; `data.unusable`; then it is as it was
   */
  async write(document: BindingDocument): Promise<void> {
    if ((await this.#readText()) !== this.#text) {
      throw new Fault(
        "binding.conflict",
        `Cannot change ${this.path}: somebody else changed it since it was read; SIGHUP makes the server read it again`,
      );
    }
    const text = formatDocument(document);
    this.#former = { text: this.#text, revision: this.#revision };
    try {
      await makeFolderDurably(this.#backups);
      // One that was put there by hand has no backup yet.
      if (this.#text !== null && !(await this.revisions()).includes(this.#revision))
        await writeWhole(this.#backupPath(this.#revision), this.#text);
      await writeWhole(this.#backupPath(document.revision), text);
      this.#text = text;
      this.#revision = document.revision;
      await writeWhole(this.path, text);
    } catch (error) {
      await this.putBack().catch(() => {});
      throw new Fault("data.unusable", `Cannot write ${this.path}: ${describeThrown(error)}`, { cause: error });
    }
    for (const old of (await this.revisions()).slice(0, -backupsMax))
      await rm(this.#backupPath(old), { force: true }).catch(() => {});
  }

  /** Takes the last write back: the file holds what it held before, or is gone again. */
  async putBack(): Promise<void> {
    const { text, revision } = this.#former;
    if (this.#revision !== revision) await rm(this.#backupPath(this.#revision), { force: true });
    this.#text = text;
    this.#revision = revision;
    if ((await this.#readText()) === text) return;
    if (text === null) await rm(this.path, { force: true });
    else await writeWhole(this.path, text);
  }

  /** A revision as it was; revision 0 is empty. Undefined where its backup is not kept any more. @throws {Fault} `bindings.unreadable` */
  async revision(revision: number): Promise<BindingDocument | undefined> {
    if (revision === 0) return emptyDocument;
    const path = this.#backupPath(revision);
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      return readDocument(text);
    } catch (error) {
      throw new Fault("bindings.unreadable", `Cannot read ${path}: ${describeThrown(error)}`, { cause: error });
    }
  }

  /** Those that have a backup, oldest first. */
  async revisions(): Promise<number[]> {
    const names = await readdir(this.#backups).catch(() => []);
    return names
      .filter((name) => /^[1-9]\d{0,14}\.json$/.test(name))
      .map((name) => Number.parseInt(name, 10))
      .sort((one, other) => one - other);
  }

  #backupPath(revision: number): string {
    return join(this.#backups, `${revision}.json`);
  }

  async #readText(): Promise<string | null> {
    try {
      return await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw new Fault("bindings.unreadable", `Cannot read ${this.path}: ${describeThrown(error)}`, { cause: error });
    }
  }
}

function writeWhole(path: string, text: string): Promise<void> {
  return writeDurably(path, [Buffer.from(text)]);
}
