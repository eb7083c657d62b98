/** `onarrival submit`: hands a message to the running server, through the same events as any other. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import type { SubmitResult } from "../admin/submit-control.ts";
import { formatReply } from "../mail/status.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { submitMail } from "./submit-server.ts";
import { type CommandContext, plain } from "./terminal.ts";

export interface SubmitFlags extends SettingsFlags {
  readonly from?: string;
  readonly to?: readonly string[];
  readonly headerRecipients?: boolean;
  readonly json?: boolean;
}

/**
 * Without --to the header says to whom, without --from it says from whom.
 * @param file `-` and none are standard input
 * @throws {UsageError}; {Fault} `control.not-running`, `control.refused`
 */
export async function submit(
  file: string | undefined,
  flags: SubmitFlags,
  context: CommandContext,
  input: Readable & { readonly isTTY?: boolean } = process.stdin,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const octets = await openMail(file, context, input);
  const to = flags.to ?? [];
  const envelope = {
    from: flags.from ?? null,
    to,
    headerRecipients: to.length === 0 || flags.headerRecipients === true,
    origin: "submit",
    user: ownName(),
  } as const;
  const result = await submitMail({ data: config.data, cwd: context.cwd }, envelope, octets).catch((error: unknown) => {
    if (!(error instanceof Fault))
      throw new UsageError(`Cannot read ${file ?? "standard input"}: ${describeThrown(error)}`);
    throw error.facts.status === 400 ? new UsageError(String(error.facts.words)) : error;
  });
  return tell(result, flags, context);
}

/** Who runs the command; null where the machine has no name for the user. */
export function ownName(): string | null {
  try {
    return userInfo().username || null;
  } catch {
    return null;
  }
}

async function openMail(
  file: string | undefined,
  { cwd, terminal }: CommandContext,
  input: Readable & { readonly isTTY?: boolean },
): Promise<AsyncIterable<Buffer>> {
  if (file === undefined || file === "-") {
    if (input.isTTY) terminal.err.write("Reading a message from standard input; Ctrl-D ends it.\n");
    return input;
  }
  const facts = await stat(resolve(cwd, file)).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`Cannot read ${file}: ${error.code === "ENOENT" ? "there is no such file" : error.code}`);
  });
  if (facts.isDirectory()) throw new UsageError(`Cannot submit ${file}: it is a folder, expected one message`);
  return createReadStream(resolve(cwd, file));
}

function tell(result: SubmitResult, flags: SubmitFlags, { terminal: { out, err } }: CommandContext): ExitStatus {
  if (flags.json) out.write(`${JSON.stringify(result)}\n`);
  if ("id" in result) {
    if (!flags.json) out.write(`${result.id}\n`);
    if (result.kind !== "accepted") err.write(`${words[result.kind]}\n`);
    return exitStatus.done;
  }
  const { kind, reply, reason } = result;
  if (!flags.json) {
    const more = reason === reply.text ? "" : ` (${plain(reason)})`;
    err.write(`${err.paint("red", words[kind])}: ${plain(formatReply(reply))}${more}\n`);
  }
  return exitStatus.failed;
}

const words = {
  accepted: "Accepted",
  discarded: "Accepted, and dropped by a sink; the log says why.",
  quarantined: "Accepted, and put into badmail by a sink; onarrival badmail list shows it.",
  refused: "Refused",
  deferred: "Not taken now",
} as const satisfies Record<SubmitResult["kind"], string>;
