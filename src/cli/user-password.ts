/** A new password, from a terminal that does not show it, or from standard input. */
import { passwordOctetsMax, passwordProblem } from "../platform/password.ts";
import { UsageError } from "./failure.ts";

/** Where passwords come from; a test has its own. */
export interface PasswordSource {
  /** Whether somebody can be asked. */
  readonly isTerminal: boolean;
  /** Asks; what is typed is not shown. */
  ask(prompt: string): Promise<string>;
  /** All of standard input. */
  readAll(): Promise<string>;
}

/** @throws {UsageError} where it is none that can be set, or nobody can be asked */
export async function readNewPassword(fromStdin: boolean, source: PasswordSource): Promise<string> {
  const password = await readPassword(fromStdin, source);
  const problem = passwordProblem(password);
  if (problem !== undefined) throw new UsageError(`Cannot set this password: ${problem}`);
  if (!fromStdin && (await source.ask("Again: ")) !== password)
    throw new UsageError("Cannot set this password: the second time it was another one");
  return password;
}

/** @throws {UsageError} where nobody can be asked */
export async function readPassword(fromStdin: boolean, source: PasswordSource): Promise<string> {
  if (fromStdin) {
    const text = await source.readAll();
    // `echo` and editors put a line end behind it.
    const [line = "", ...more] = text.replace(/\r?\n$/, "").split(/\r?\n/);
    if (more.length > 0)
      throw new UsageError("Cannot read a password from several lines; expected one line on standard input");
    return line;
  }
  if (!source.isTerminal)
    throw new UsageError("Cannot ask for a password: standard input is no terminal", "Give it by --password-stdin");
  return await source.ask("Password: ");
}

/** The terminal and standard input of this process. */
export const processPasswords: PasswordSource = {
  get isTerminal() {
    return process.stdin.isTTY === true;
  },
  ask: askHidden,
  async readAll() {
    const chunks: Buffer[] = [];
    let octets = 0;
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      octets += chunk.length;
      if (octets > passwordOctetsMax + 2)
        throw new UsageError(`Cannot set this password: it is longer than ${passwordOctetsMax} octets`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  },
};

function askHidden(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  return new Promise((resolve, reject) => {
    let typed = "";
    const finish = (end: () => void) => {
      stdin.off("data", take);
      stdin.off("end", ended);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
      end();
    };
    const ended = () => finish(() => reject(new UsageError("Cannot ask for a password: standard input ended")));
    const take = (text: string) => {
      for (const [i, character] of [...text].entries()) {
        if (character === "\r" || character === "\n") {
          // What was typed ahead is for the next question.
          const ahead = [...text]
            .slice(i + 1)
            .join("")
            .replace(/^\n/, "");
          return finish(() => {
            if (ahead !== "") stdin.unshift(ahead);
            resolve(typed);
          });
        }
        // Ctrl-C ends the command as it does elsewhere; Ctrl-D says that no more is to come.
        if (character === "\u0003") return finish(() => process.kill(process.pid, "SIGINT"));
        if (character === "\u0004") return finish(() => resolve(typed));
        if (character === "\u007f" || character === "\b") typed = [...typed].slice(0, -1).join("");
        else if (character === "\u0015") typed = "";
        else typed += character;
      }
    };
    // The question comes when nothing is shown any more.
    stdin.setEncoding("utf8");
    stdin.setRawMode(true);
    stderr.write(prompt);
    stdin.on("data", take);
    stdin.once("end", ended);
    stdin.resume();
  });
}
