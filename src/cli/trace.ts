/** `onarrival trace`: follows the sessions of a running server, wire lines and decisions, as they come. */
import { parseRule } from "../events/rule.ts";
import { describeThrown } from "../platform/fault.ts";
import { followServer } from "./control-stream.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";
import { type ShownEntry, TraceFormatter } from "./trace-lines.ts";

export interface TraceFlags extends SettingsFlags {
  readonly client?: readonly string[];
  readonly listener?: readonly string[];
  readonly helo?: readonly string[];
  readonly from?: readonly string[];
  readonly to?: readonly string[];
  readonly inbound?: boolean;
  readonly outbound?: boolean;
  readonly json?: boolean;
}

/** Runs until the server stops or Ctrl-C. @throws {UsageError} for a pattern that is none */
export async function trace(flags: TraceFlags, context: CommandContext): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { out, err } = context.terminal;
  const query = new URLSearchParams();
  const rule = ruleOf(flags);
  if (rule !== "") query.set("rule", rule);
  if (flags.inbound !== flags.outbound) query.set("direction", flags.inbound ? "in" : "out");
  const formatter = new TraceFormatter(out);
  await followServer<ShownEntry>(
    {
      data: config.data,
      cwd: context.cwd,
      path: `/api/v1/trace?${query}`,
      signal: context.signal ?? new AbortController().signal,
    },
    (entry) => out.write(flags.json ? `${JSON.stringify(entry)}\n` : formatter.format(entry)),
    () => {
      if (!flags.json) err.write(err.paint("dim", `Following ${rule === "" ? "every session" : rule}; Ctrl-C ends.\n`));
    },
  );
  if (!flags.json) err.write("The server has closed the trace.\n");
  return exitStatus.done;
}

/** The flags as one rule: several of a kind are alternatives, different kinds must all hold. */
function ruleOf({ client = [], listener = [], helo = [], from = [], to = [] }: TraceFlags): string {
  const conditions = (
    [
      ["CLIENT", "--client", client],
      ["LISTENER", "--listener", listener],
      ["EHLO", "--helo", helo],
      ["MAIL FROM", "--from", from],
      ["RCPT TO", "--to", to],
    ] as const
  ).flatMap(([key, flag, patterns]) =>
    patterns.map((pattern) => {
      const condition = `${key} = ${pattern}`;
      try {
        parseRule(condition);
      } catch (error) {
        // The column counts in a rule that nobody wrote.
        const words = describeThrown(error).replace(/^Cannot read the rule at column \d+: /, "");
        throw new UsageError(`${flag} ${pattern}: ${words}`);
      }
      return condition;
    }),
  );
  return conditions.join("; ");
}
