/**
 * The file of users: read where it is needed, read again when it has changed, written whole or not at all. One that is broken leaves the users as they were, with
 * a line in the log.
 */
import { randomUUID } from "node:crypto";
import { open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { syncFolder, writeFully } from "../platform/durable-file.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { usualHash } from "../platform/password.ts";
import { formatUsers, parseUsers, type User, type Users, userKey } from "./users-document.ts";
import { takeUsersLock, type UsersLock } from "./users-lock.ts";

const nobody: Users = new Map();

/** What `stat` says of a version of the file: another one where any of it differs. */
type Version = string | "absent";

/** The users as the file has them; nobody where there is no file. @throws {Fault} `users.unreadable` */
export async function readUsers(file: string): Promise<Users> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return nobody;
    throw new Fault("users.unreadable", `Cannot read ${file}: ${describeThrown(error)}`, { cause: error });
  }
  return parseUsers(text, file);
}

/**
 * Changes the file: what `change` makes of its users is in it, durably, once this resolves. Two commands at a time wait for each other; `change` is asked again where
 * another one has taken over meanwhile.
 * @throws {Fault} `users.unreadable`, also where what is to be written could not be read again; and what `change` throws; then nothing changed
 */
export async function changeUsers(file: string, change: (users: Users) => Users | Promise<Users>): Promise<void> {
  for (;;) {
    const lock = await takeUsersLock(`${file}.lock`);
    try {
      const text = formatUsers(await change(await readUsers(file)));
      parseUsers(text, file);
      if (await replaceFile(file, text, lock)) return;
    } finally {
      await lock.release();
    }
  }
}

/** False where the lock was lost before it was done; then nothing changed. @throws {Fault} `users.unreadable` */
async function replaceFile(file: string, text: string, lock: UsersLock): Promise<boolean> {
  const aside = `${file}.${randomUUID()}.tmp`;
  try {
    // For the server alone: whoever reads hashes can try passwords at leisure.
    const handle = await open(aside, "wx", 0o600);
    try {
      await writeFully(handle, Buffer.from(text));
      await keepOwner(handle, file);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    crashPoint("users.written");
    if (!(await lock.isHeld())) {
      await unlink(aside);
      return false;
    }
    await rename(aside, file);
  } catch (error) {
    await unlink(aside).catch(() => {});
    throw new Fault("users.unreadable", `Cannot write ${file}: ${describeThrown(error)}`, { cause: error });
  }
  await syncFolder(dirname(file));
  return true;
}

/** A file that root writes stays the server's own. */
async function keepOwner(handle: Awaited<ReturnType<typeof open>>, file: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const owner = await stat(file).catch(() => stat(dirname(file)));
  await handle.chown(owner.uid, owner.gid);
}

/** Least time between two looks at the file. */
const lookAgainMs = 1_000;

/** The users of a running server. */
export class UsersFile {
  readonly #file: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #log: Log;
  #users: Users = nobody;
  #usualHash: string | null = null;
  #version: Version | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<boolean> | undefined;

  constructor({
    file,
    clock,
    log,
  }: { readonly file: string; readonly clock: Pick<Clock, "monotonicMs">; readonly log: Log }) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
  }

  /** Reads it for the first time; says so where nobody can log in. @throws {Fault} `users.unreadable` */
  async start(): Promise<void> {
    this.#version = await this.#versionNow();
    this.#lookedAt = this.#clock.monotonicMs();
    await this.#read();
    if (this.#users.size === 0) this.#log.warn("users.none", { file: this.#file });
  }

  /** Reads it again where it has changed; at once, not when the next client comes. Gives whether other users hold now. */
  refresh(): Promise<boolean> {
    return (this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    }));
  }

  /** How many users there are, as the file was when it was looked at last. */
  get size(): number {
    return this.#users.size;
  }

  /** A hash of theirs with the parameters that most have: what a login of nobody is to cost. */
  get usualHash(): string | null {
    return this.#usualHash;
  }

  /** The user of that name, as the file has him now. */
  async find(name: string): Promise<User | undefined> {
    if (this.#clock.monotonicMs() - this.#lookedAt >= lookAgainMs) await this.refresh();
    return this.known(name);
  }

  /** The same, as the file had him when it was looked at last. */
  known(name: string): User | undefined {
    return this.#users.get(userKey(name));
  }

  async #read(): Promise<void> {
    this.#users = await readUsers(this.#file);
    this.#usualHash = usualHash([...this.#users.values()].map(({ password }) => password));
  }

  async #look(): Promise<boolean> {
    this.#lookedAt = this.#clock.monotonicMs();
    const version = await this.#versionNow();
    if (version === this.#version) return false;
    this.#version = version;
    try {
      await this.#read();
      this.#log.info("users.read", { file: this.#file, users: this.#users.size });
      return true;
    } catch (error) {
      this.#log.error("users.unreadable", { file: this.#file, reason: describeThrown(error), kept: this.#users.size });
      return false;
    }
  }

  async #versionNow(): Promise<Version> {
    try {
      const { ino, mtimeMs, ctimeMs, size } = await stat(this.#file);
      return `${ino} ${mtimeMs} ${ctimeMs} ${size}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT" ? "absent" : `not to be seen: ${describeThrown(error)}`;
    }
  }
}
