/**
 * The lock on the file of users: a file beside it that holds a token of its owner's. One that is old was left by a process that was killed, and is broken by
 * whoever wants it next; an owner who lives after all sees that it is his no more.
 */
import { randomUUID } from "node:crypto";
import { open, rename, unlink, writeFile } from "node:fs/promises";
import { describeThrown, Fault } from "../platform/fault.ts";

export interface UsersLock {
  /** Whether it is still ours: it may have been broken while this process stood still. */
  isHeld(): Promise<boolean>;
  /** Takes it away where it is ours. */
  release(): Promise<void>;
}

/** What a lock was when it was looked at. */
export interface SeenLock {
  readonly token: string;
  readonly mtimeMs: number;
}

/** How often a lock is looked at, and how long before it is taken for one whose owner was killed. */
const lookMs = 50;
const staleMs = 30_000;

/** Waits until the lock is ours. @throws {Fault} `users.unreadable` */
export async function takeUsersLock(path: string): Promise<UsersLock> {
  const token = randomUUID();
  while (!(await writeLock(path, token))) {
    const seen = await readLock(path);
    // Of the time to come, too: the clock was put back.
    if (seen !== null && Math.abs(Date.now() - seen.mtimeMs) > staleMs) await breakUsersLock(path, seen);
    else await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  const isHeld = async () => (await readLock(path))?.token === token;
  return {
    isHeld,
    async release() {
      if (await isHeld().catch(() => false)) await unlink(path).catch(() => {});
    },
  };
}

/**
 * Takes a lock away that is still the one that was seen. Moved aside it can be looked at in peace: where two break one lock at a time, the slower one finds the
 * new lock of the faster one in his hand, and puts it back.
 * @throws {Fault} `users.unreadable`
 */
export async function breakUsersLock(path: string, seen: SeenLock): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new Fault("users.unreadable", `Cannot remove the old lock ${path}: ${describeThrown(error)}`, {
      cause: error,
    });
  }
  const taken = await readLock(aside);
  // Should a third one have come in between, its owner finds that it is his no more.
  if (taken !== null && (taken.token !== seen.token || taken.mtimeMs !== seen.mtimeMs))
    await writeLock(path, taken.token);
  await unlink(aside);
}

/** False where there is one already. @throws {Fault} `users.unreadable` */
async function writeLock(path: string, token: string): Promise<boolean> {
  try {
    await writeFile(path, token, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new Fault("users.unreadable", `Cannot write beside ${path}: ${describeThrown(error)}`, { cause: error });
  }
}

/** null where there is none. @throws {Fault} `users.unreadable` */
async function readLock(path: string): Promise<SeenLock | null> {
  try {
    const handle = await open(path, "r");
    try {
      return { token: await handle.readFile("utf8"), mtimeMs: (await handle.stat()).mtimeMs };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new Fault("users.unreadable", `Cannot read the lock ${path}: ${describeThrown(error)}`, { cause: error });
  }
}
