/**
 * Secrets of scripts: a file each, in one folder, readable for the server's own user alone. What was read is kept as long as the file is the same; it is never logged,
 * and no error has it in its words.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { HostAnswer } from "../../sandbox/host-call.ts";
import { describeFileError } from "../platform/file-error.ts";

/** As in `[scripts.grants] secrets`. */
const secretName = /^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}$/;
const secretOctetsMax = 65_536;

export interface Secrets {
  read(name: string): Promise<HostAnswer>;
}

interface Kept {
  readonly mark: string;
  readonly value: string;
}

export class SecretFolder implements Secrets {
  readonly #folder: () => string;
  readonly #kept = new Map<string, Kept>();

  /** `folder` is asked for anew each time. */
  constructor(folder: () => string) {
    this.#folder = folder;
  }

  /** The file's text without its last line end. */
  async read(name: string): Promise<HostAnswer> {
    if (!secretName.test(name)) return failed("invalid", "A secret's name is 1 to 64 letters, digits, dots, - and _");
    const path = join(this.#folder(), name);
    let file: Awaited<ReturnType<typeof open>>;
    try {
      // A FIFO would keep us waiting.
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      return failed("unreadable", `Secret ${name} cannot be read: ${describeFileError(error)}`);
    }
    try {
      const { mode, size, mtimeMs, ino, dev } = await file.stat();
      if ((mode & 0o170_000) !== 0o100_000) return failed("unreadable", `Secret ${name} is no file`);
      if ((mode & 0o077) !== 0)
        return failed("unreadable", `Secret ${name} can be read by others: its file needs mode 0600`);
      if (size > secretOctetsMax)
        return failed("unreadable", `Secret ${name} is longer than ${secretOctetsMax} octets`);
      const mark = [path, dev, ino, mtimeMs, size].join(" ");
      const kept = this.#kept.get(name);
      if (kept?.mark === mark) return { ok: true, value: kept.value };
      const value = (await file.readFile("utf8")).replace(/\r?\n$/, "");
      this.#kept.set(name, { mark, value });
      return { ok: true, value };
    } catch (error) {
      return failed("unreadable", `Secret ${name} cannot be read: ${describeFileError(error)}`);
    } finally {
      await file.close();
    }
  }
}

function failed(code: string, message: string): HostAnswer {
  return { ok: false, code, message };
}
