/** Asking before something is done that cannot be undone. Off a terminal nobody can be asked: there it has to be said with --yes. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { UsageError } from "./failure.ts";
import type { CommandContext } from "./terminal.ts";

/** Where answers are typed. */
export type AnswerSource = Readable & { readonly isTTY?: boolean };

/**
 * Whether it is to be done. Anything but `y` or `yes` is a no, the end of input too.
 * @param question What would be done, without a question mark: `Remove 3 messages`
 * @throws {UsageError} where there is no terminal and --yes was not said
 */
export async function confirm(
  question: string,
  { yes = false }: { readonly yes?: boolean | undefined },
  { terminal: { err } }: CommandContext,
  input: AnswerSource = process.stdin,
): Promise<boolean> {
  if (yes) return true;
  if (input.isTTY !== true)
    throw new UsageError(
      `Not done: ${question[0]!.toLowerCase()}${question.slice(1)} cannot be undone, and there is no terminal to ask on`,
      "--yes does it without asking; --dry-run shows what it would do",
    );
  err.write(`${question}? [y/N] `);
  const lines = createInterface({ input });
  try {
    for await (const line of lines) return /^\s*y(es)?\s*$/i.test(line);
    err.write("\n");
    return false;
  } finally {
    lines.close();
  }
}
