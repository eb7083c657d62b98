/** What Exim and Postfix for a test share: a folder of its own, a daemon that can be killed and started again, and a Maildir that takes what comes for it. */
import { chmodSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon } from "./daemon.ts";
import { findIds, findMail, findMailWhere } from "./sample-mail.ts";

export interface PrivateParts<Port extends string> {
  readonly folder: string;
  readonly ports: Readonly<Record<Port, number>>;
  readonly command: readonly string[];
  /** Ports it takes connections on once it is up. */
  readonly upPorts: readonly Port[];
  /** Matches the messages it has taken, below its folder. */
  readonly maildir: string;
  /** Field above a message that names the mailbox it was taken for. */
  readonly mailboxField: string;
  /** Below its folder. */
  readonly logFiles: readonly string[];
}

/** A folder that the server's own user can come into. */
export function createPrivateFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `onarrival-${name}-`));
  chmodSync(folder, 0o755);
  return folder;
}

export class PrivateServer<Port extends string> {
  readonly folder: string;
  readonly ports: Readonly<Record<Port, number>>;
  readonly #parts: PrivateParts<Port>;
  #daemon: Daemon | undefined;

  protected constructor(parts: PrivateParts<Port>) {
    this.folder = parts.folder;
    this.ports = parts.ports;
    this.#parts = parts;
  }

  /** Starts it, also once more on the queue as it is. @throws {Error} with its last words; then nothing of it is left */
  async up(): Promise<void> {
    const { command, upPorts } = this.#parts;
    this.#daemon = new Daemon(command, { logFile: join(this.folder, "daemon.log"), cwd: this.folder });
    try {
      await this.#daemon.listensOn(upPorts.map((name) => this.ports[name]));
    } catch (error) {
      const words = this.log();
      await this.remove();
      throw new Error(`${(error as Error).message}\n${words}`, { cause: error });
    }
  }

  /** SIGKILL to every process of it. */
  async kill9(): Promise<void> {
    await this.#daemon?.kill9();
  }

  /** The message it took into its Maildir, line ends as CRLF. */
  received(id: string): Promise<Buffer> {
    return findMail(this.#maildir, id, () => this.log());
  }

  /** The text of a message it took for this mailbox whose beginning matches. */
  async receivedWhere(mailbox: string, wanted: RegExp): Promise<string> {
    const isFor = new RegExp(`^${this.#parts.mailboxField}: ${mailbox}$`, "m");
    const what = `for ${mailbox} with ${wanted}`;
    const isIt = (top: string) => isFor.test(top) && wanted.test(top);
    return (await findMailWhere(this.#maildir, isIt, { what, words: () => this.log() })).toString("latin1");
  }

  /** Waits until it holds so many messages. Gives their Message-IDs, sorted. */
  receivedIds(count: number): Promise<readonly string[]> {
    return findIds(this.#maildir, count, () => this.log());
  }

  /** Forgets what it has received. */
  clear(): void {
    for (const file of globSync(this.#maildir)) rmSync(file);
  }

  log(): string {
    return this.#parts.logFiles
      .map((name) => join(this.folder, name))
      .map((file) => (existsSync(file) ? readFileSync(file, "utf8").slice(-10_000) : ""))
      .join("\n");
  }

  async remove(): Promise<void> {
    await this.#daemon?.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #maildir(): string {
    return join(this.folder, this.#parts.maildir);
  }
}
