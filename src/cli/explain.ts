/** `onarrival explain`: why each binding was asked or was not, for one message, in the order of its life. */
import { buffer } from "node:stream/consumers";
import type { ExplainReport, ExplainRequest } from "../admin/explain-view.ts";
import type { LoadedConfig } from "../config/load.ts";
import { guessRecipients, guessReversePath } from "../mail/envelope-guess.ts";
import { splitMessage } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { formatReversePath } from "../mail/path.ts";
import { explainMail } from "../main-explain.ts";
import { openStage } from "../main-stage.ts";
import { Fault } from "../platform/fault.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { formatExplanation } from "./explain-report.ts";
import { UsageError } from "./failure.ts";
import { listMail } from "./mail-source.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";
import { readSession, type SessionFlags } from "./test-session.ts";

export interface ExplainFlags extends SettingsFlags, Omit<SessionFlags, "event"> {
  readonly tls?: boolean;
  readonly offline?: boolean;
  readonly json?: boolean;
}

/** Sinks may take their time. */
const explainMsMax = 10 * 60_000;

/** @throws {UsageError}; {Fault} `control.not-running` without `--offline` */
export async function explain(
  args: readonly string[],
  flags: ExplainFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const loaded = loadSettings(flags, context);
  const session = readSession(flags, loaded.config);
  const sources = await listMail(args, { cwd: context.cwd, stdin: () => buffer(process.stdin) });
  if (sources.length === 0) throw new UsageError(`There is no message in ${args.join(", ")}`);
  const { out } = context.terminal;
  const ask = flags.offline ? await askFiles(loaded) : askRunningServer(loaded, context);
  try {
    for (const [i, source] of sources.entries()) {
      const octets = await source.read();
      const { header } = splitMessage(octets);
      const to = session.to.length > 0 ? session.to : guessRecipients(header);
      const report = await ask.explain({
        mail: octets.toString("base64"),
        session: {
          ip: session.ip,
          helo: session.helo,
          user: session.user,
          listener: session.listener,
          tls: flags.tls ?? false,
        },
        from: formatReversePath(session.from === undefined ? guessReversePath(header) : session.from),
        to: to.map(formatMailbox),
      });
      if (flags.json) out.write(`${JSON.stringify({ file: source.name, ...report })}\n`);
      else out.write(`${i > 0 ? "\n" : ""}${formatExplanation(report, source.name, out)}`);
    }
  } finally {
    await ask.close();
  }
  return exitStatus.done;
}

interface Asked {
  explain(request: ExplainRequest): Promise<ExplainReport>;
  close(): Promise<void>;
}

function askRunningServer({ config }: LoadedConfig, { cwd }: CommandContext): Asked {
  return {
    async explain(request) {
      try {
        return await askServer<ExplainReport>({
          data: config.data,
          cwd,
          path: "/api/v1/explain",
          method: "POST",
          body: request,
          timeoutMs: explainMsMax,
        });
      } catch (error) {
        if (error instanceof Fault && error.code === "control.not-running")
          throw new Fault(error.code, `${error.message}; --offline explains with what the files say`, { cause: error });
        throw error;
      }
    },
    close: () => Promise.resolve(),
  };
}

async function askFiles(loaded: LoadedConfig): Promise<Asked> {
  const { stage, close } = await openStage(loaded);
  return { explain: (request) => explainMail(stage, request), close };
}
