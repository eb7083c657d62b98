/**
 * `onarrival test`: runs a script, or the whole list of the configuration, on messages from files, and says what it would do. Nothing
 * leaves the machine and nothing is spooled. The sandbox is started before all that is needed beside it is loaded (test-round.ts): who waits, waits for one of them.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Sandbox } from "../../sandbox/host.ts";
import type { ExitStatus } from "./exit-status.ts";
import { reportFailure, UsageError } from "./failure.ts";
import { listMail, type MailSource } from "./mail-source.ts";
import { loadSettings } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";
import type { TestFlags, TestInputs } from "./test-flags.ts";

/** @param args The script and the messages; with `--pipeline` messages alone. @throws {UsageError} */
export async function test(args: readonly string[], flags: TestFlags, context: CommandContext): Promise<ExitStatus> {
  const [script, mail] = flags.pipeline ? [undefined, args] : [args[0], args.slice(1)];
  const needsMail = async () => !(await import("./test-session.ts")).goesWithoutMessage(flags.event);
  if (args.length === 0 || (mail.length === 0 && (await needsMail())))
    throw new UsageError(
      "There is no message to test with: expected files, folders, an mbox, or - for standard input",
      "onarrival test scripts/tag-external.ts mail.eml; or the tests beside scripts: onarrival test --all",
    );
  if (flags.update && flags.expect === undefined)
    throw new UsageError("--update says what to write, and --expect FILE where: expected both");
  const loaded = loadSettings(flags, context);
  const inputs: TestInputs = { context, script, mail, stdin: once(() => readStdin(context)) };
  // What can be wrong with the command is found before anything is started.
  const sources = await findMail(inputs);
  const { openSandbox } = await import("./test-bench.ts");
  const opening: Promise<Sandbox> = openSandbox(loaded.config);
  // Until it is waited for, below.
  opening.catch(() => {});
  try {
    const { runRound, prepareBench } = await import("./test-round.ts");
    const bench = await prepareBench({ ...inputs, flags, loaded, sandbox: opening });
    let startedAt = Date.now();
    let round = await runRound(bench, sources);
    while (flags.watch) {
      const { watchFiles } = await import("./test-watch.ts");
      context.terminal.err.write(context.terminal.err.paint("dim", "Watching; Ctrl-C ends.\n"));
      await watchFiles(round.watched, startedAt);
      if (!flags.json) context.terminal.out.write("\n");
      startedAt = Date.now();
      const { watched } = round;
      round = await findMail(inputs)
        .then((found) => runRound(bench, found))
        .catch((error: unknown) => {
          // A file that is gone for the moment is back with the next save.
          if (!(error instanceof UsageError)) throw error;
          return { status: reportFailure(error, context.terminal), watched };
        });
    }
    return round.status;
  } finally {
    const { stopCompiler } = await import("../../sandbox/compile.ts");
    await opening.then(
      (sandbox) => sandbox.close(),
      () => {},
    );
    await stopCompiler();
  }
}

/** In the place of a file. */
const noMessage: MailSource = { name: "(no message)", path: null, read: async () => Buffer.alloc(0) };

/** The messages, one at least; and the script is there. @throws {UsageError} */
async function findMail({ context: { cwd }, script, mail, stdin }: TestInputs): Promise<MailSource[]> {
  if (script !== undefined && !existsSync(resolve(cwd, script))) {
    throw new UsageError(`Cannot read the script ${script}: there is no such file`);
  }
  // Only an event that comes before there is a message is tested without one.
  if (mail.length === 0) return [noMessage];
  const sources = await listMail(mail, { cwd, stdin });
  if (sources.length > 0) return sources;
  throw new UsageError(`There is no message in ${mail.join(", ")}: expected .eml or .mbox files, or a Maildir`);
}

async function readStdin({ terminal }: CommandContext): Promise<Buffer> {
  if (process.stdin.isTTY) terminal.err.write("Reading a message from standard input; Ctrl-D ends it.\n");
  return Buffer.concat(await Array.fromAsync(process.stdin as AsyncIterable<Buffer>));
}

/** Standard input can be read once; a test that is repeated uses what was read. */
function once(read: () => Promise<Buffer>): () => Promise<Buffer> {
  let result: Promise<Buffer> | undefined;
  return () => (result ??= read());
}
