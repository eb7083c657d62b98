/**
 * `onarrival route`: where mail for an address would go and why, as a tree. Nothing is sent. The running server says it, by DNS down to addresses; or the files do,
 * which know of no address.
 */
import type { RouteTargetView, RouteView } from "../admin/route-control.ts";
import { formatMailbox, parseMailbox } from "../mail/mailbox.ts";
import { formatReversePath, parseForwardPath, parseReversePath } from "../mail/path.ts";
import { createDispatcher, listNames } from "../main-rehearsal.ts";
import { rehearseRoute } from "../main-rehearsal-transport.ts";
import { openStage } from "../main-stage.ts";
import { Fault } from "../platform/fault.ts";
import { reachServer } from "./bindings-change.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

export interface RouteFlags extends SettingsFlags {
  readonly from?: string;
  readonly offline?: boolean;
  readonly json?: boolean;
}

/** Names are looked up, host by host. */
const timeoutMs = 2 * 60_000;

/** 1 where mail for one of them would fail. @throws {UsageError} where something is no address; {Fault} `control.not-running` without `--offline`, as openStage with it */
export async function route(
  addresses: readonly string[],
  flags: RouteFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  const wanted = addresses.map((text) => readAddress(text, () => formatMailbox(parseForwardPath(text))));
  const { from: fromText } = flags;
  const from =
    fromText === undefined ? null : readAddress(fromText, () => formatReversePath(parseReversePath(fromText)));
  const asked = flags.offline ? await askFiles(flags, context) : askRunningServer(flags, context);
  const { out } = context.terminal;
  let status: ExitStatus = exitStatus.done;
  try {
    for (const [i, address] of wanted.entries()) {
      const view = await asked.route(address, from);
      if (view.error !== null) status = exitStatus.failed;
      if (flags.json) out.write(`${JSON.stringify(view)}\n`);
      else out.write(`${i > 0 ? "\n" : ""}${formatRoute(view, out)}`);
    }
  } finally {
    await asked.close();
  }
  return status;
}

interface Asked {
  /** @param from formatted, `<>` for the null one; null: nobody said */
  route(address: string, from: string | null): Promise<RouteView>;
  close(): Promise<void>;
}

function askRunningServer(flags: RouteFlags, context: CommandContext): Asked {
  const ask = reachServer(flags, context);
  return {
    async route(address, from) {
      const query = new URLSearchParams({ address, ...(from !== null && { from }) });
      try {
        return await ask<RouteView>({ path: `/api/v1/route?${query}`, timeoutMs });
      } catch (error) {
        if (error instanceof Fault && error.code === "control.not-running")
          throw new Fault(error.code, `${error.message}; --offline routes by what the files say`, { cause: error });
        throw error;
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Sinks are asked as in a rehearsal, and nobody's address is looked up. */
async function askFiles(flags: RouteFlags, context: CommandContext): Promise<Asked> {
  const { stage, close } = await openStage(loadSettings(flags, context));
  const { clock, own } = stage;
  const events = createDispatcher(stage, { bindings: listNames.flatMap((list) => stage.bindingsOf(list)) });
  return {
    route: (address, from) =>
      rehearseRoute({ events, own, clock }, parseMailbox(address), {
        from: from === null ? null : parseReversePath(from),
      }),
    close,
  };
}

/** Below an address what it was found to be; below that where it goes; a list's members are trees of their own. */
export function formatRoute(view: RouteView, out: Output): string {
  return `${out.paint("bold", plain(view.address))}\n${linesOf(view, out)
    .map((line) => `${line}\n`)
    .join("")}`;
}

function linesOf({ resolution, expandedTo, route: found, error }: RouteView, out: Output): readonly string[] {
  const branches: { readonly head: string; readonly below: readonly string[] }[] = resolution.map(({ by, words }) => ({
    head: `${plain(words)}${out.paint("dim", `  by ${plain(by)}`)}`,
    below: [],
  }));
  for (const inner of expandedTo)
    branches.push({ head: out.paint("bold", plain(inner.address)), below: linesOf(inner, out) });
  if (found) {
    const { hop, by, destination, targets = [] } = found;
    const where = destination === hop ? "" : `  destination ${plain(destination)}`;
    branches.push({
      head: `${out.paint("green", plain(hop))}${out.paint("dim", `  by ${plain(by)}${where}`)}`,
      below: targets.map((target, i) => `${i === targets.length - 1 ? "└─" : "├─"} ${targetWords(target, out)}`),
    });
  }
  if (error !== null) branches.push({ head: out.paint("red", plain(error)), below: [] });
  return branches.flatMap(({ head, below }, i) => {
    const isLast = i === branches.length - 1;
    return [`${isLast ? "└─" : "├─"} ${head}`, ...below.map((line) => `${isLast ? "   " : "│  "}${line}`)];
  });
}

function targetWords({ host, addresses, tls }: RouteTargetView, out: Output): string {
  const where = addresses.length === 0 ? out.paint("red", "no address") : plain(addresses.join(", "));
  return `${plain(host)}  ${where}${out.paint("dim", `  TLS: ${plain(tls)}`)}`;
}

function readAddress(text: string, parse: () => string): string {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Fault) throw new UsageError(`${JSON.stringify(text)} is no address: ${error.message}`);
    throw error;
  }
}
