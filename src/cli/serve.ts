/** `onarrival serve`: runs the server until it is told to stop, and says on standard error where everything is. The log is standard output. */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import type { BindingView } from "../admin/server-view.ts";
import type { LoadedConfig } from "../config/load.ts";
import { type RunningServer, startServer } from "../main.ts";
import { describeThrown } from "../platform/fault.ts";
import { createLog } from "../platform/log.ts";
import { version } from "../version.ts";
import { askServer } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { reportFailure } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { type CommandContext, type Output, plain } from "./terminal.ts";

/** One press of Ctrl-C reaches us more than once where npm stands between: signals so close together are one. */
const sameSignalMs = 300;

export async function serve(flags: SettingsFlags, context: CommandContext): Promise<ExitStatus> {
  const { err } = context.terminal;
  const loaded = loadSettings(flags, context);
  const log = createLog({ level: loaded.config.log.level });
  // A signal that comes while the server still starts is kept until it has.
  const signals = listenForSignals();
  const server = await startServer(loaded, { log, loadAgain: () => loadSettings(flags, context) });
  const broken = await listBroken(loaded, context);
  err.write(formatBanner({ loaded, server, cwd: context.cwd, broken }, err));
  for (;;) {
    const signal = await signals.next();
    if (signal !== "SIGHUP") break;
    try {
      for (const change of await server.reload()) err.write(`reloaded: ${change}\n`);
    } catch (error) {
      // A configuration that cannot be used leaves the present one in force.
      reportFailure(error, context.terminal);
      log.error("server.reload-failed", { reason: describeThrown(error) });
    }
  }
  err.write("Stopping: no new mail is taken, what is in hand is finished. Once more leaves at once.\n");
  const left = await Promise.race([server.stop().then(() => false), signals.nextStop().then(() => true)]);
  if (left) err.write("Left at once; what was accepted is in the spool.\n");
  return left ? exitStatus.interrupted : exitStatus.done;
}

/** What is bound and cannot run. The server is asked as any client asks it; where that fails, the log has it all the same. */
async function listBroken({ config: { data } }: LoadedConfig, { cwd }: CommandContext): Promise<BindingView[]> {
  return await askServer<{ bindings: readonly BindingView[] }>({ data, cwd, path: "/api/v1/bindings" }).then(
    ({ bindings }) => bindings.filter(({ kind, enabled }) => enabled && kind === "broken"),
    () => [],
  );
}

type StopSignal = "SIGTERM" | "SIGINT";

interface Signals {
  next(): Promise<StopSignal | "SIGHUP">;
  nextStop(): Promise<StopSignal>;
}

function listenForSignals(): Signals {
  const waiting: (StopSignal | "SIGHUP")[] = [];
  let wake = () => {};
  let lastStopMs = Number.NEGATIVE_INFINITY;
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (signal !== "SIGHUP") {
        const sinceMs = performance.now() - lastStopMs;
        lastStopMs = performance.now();
        if (sinceMs < sameSignalMs) return;
      }
      waiting.push(signal);
      wake();
    });
  }
  const next = async () => {
    for (;;) {
      const signal = waiting.shift();
      if (signal !== undefined) return signal;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return {
    next,
    async nextStop() {
      for (;;) {
        const signal = await next();
        if (signal !== "SIGHUP") return signal;
      }
    },
  };
}

interface Started {
  readonly loaded: LoadedConfig;
  readonly server: Pick<RunningServer, "listeners" | "admin">;
  readonly cwd: string;
  /** What is bound and cannot run: mail passes as if it were not there. */
  readonly broken?: readonly Pick<BindingView, "name" | "event" | "reason">[];
}

/** Where everything is, and how to send a first message with what every machine has. */
export function formatBanner({ loaded: { config, file }, server, cwd, broken = [] }: Started, err: Output): string {
  const near = (path: string) => {
    const below = relative(cwd, path);
    return below === "" ? "." : below.startsWith("..") ? path : `./${below}`;
  };
  const { local, relay } = config.domains;
  const ours = [...local, ...relay].join(", ") || "no domain of ours";
  const isImplicit = (name: string) =>
    config.listeners.some((listener) => listener.name === name && listener.tls?.mode === "implicit");
  const rows: [string, string][] = server.listeners.map(({ name, address, port, role }) => [
    "mail in",
    `${err.paint("cyan", `${schemeOf(role, isImplicit(name))}://${forUrl(address)}:${port}`)}  ${role === "submission" ? "for users who logged in" : `for ${ours}`} (listener ${name})`,
  ]);
  const inMaildirs = config.delivery.local === "maildir";
  rows.push(["mailboxes", inMaildirs ? `${near(config.delivery.maildir)}/DOMAIN/USER/` : config.delivery.local]);
  if (config.routes.length > 0)
    rows.push(["routes", `${config.routes.length}, before all else; onarrival route ADDRESS tells which one holds`]);
  rows.push(["other mail", whereOtherMailGoes(config.delivery)]);
  rows.push(["scripts", `${near(config.scripts.folder)}/  save a file there, and the next message runs it`]);
  rows.push([
    "health",
    `${err.paint("cyan", `http://${forUrl(server.admin.address)}:${server.admin.port}/readyz`)}  and /metrics`,
  ]);
  rows.push(["config", file === null ? "defaults only; onarrival init makes a file" : near(file)]);
  for (const { name, events, reason } of togetherByReason(broken))
    rows.push([
      "not running",
      `${err.paint("red", plain(name))}  ${events.join(", ")} ${events.length === 1 ? "goes" : "go"} on without it: ${plain(reason ?? "")}`,
    ]);
  const head = `${err.paint("bold", `OnArrival ${version} is running.`)} Ctrl-C stops it.\n`;
  const lines = rows.map(([name, value]) => `  ${err.paint("dim", name.padEnd(13))}${value}\n`);
  return `${head}${lines.join("")}${firstMessage({ listeners: server.listeners.filter(({ name }) => !isImplicit(name)), cwd, domain: inMaildirs && config.domains.mailboxes === null ? local[0] : undefined, maildir: near(config.delivery.maildir) }, err)}`;
}

function whereOtherMailGoes({ smarthost, remote }: LoadedConfig["config"]["delivery"]): string {
  if (smarthost) return `to the smarthost ${smarthost.host}:${smarthost.port}`;
  return remote === "mx" ? "to the mail exchangers of its domain" : "held: no smarthost is configured";
}

function schemeOf(role: string, isImplicit: boolean): string {
  if (role === "lmtp") return "lmtp";
  return isImplicit ? "smtps" : "smtp";
}

/** A sink that is bound to several events and cannot run for one reason is told of once. */
function togetherByReason(
  broken: NonNullable<Started["broken"]>,
): { readonly name: string; readonly reason: string | null; readonly events: string[] }[] {
  const groups: { readonly name: string; readonly reason: string | null; readonly events: string[] }[] = [];
  for (const { name, event, reason } of broken) {
    const group = groups.find((one) => one.name === name && one.reason === reason);
    if (group) group.events.push(event);
    else groups.push({ name, reason, events: [event] });
  }
  return groups;
}

/** A command that sends one message and one that reads it; nothing where none is sure to be taken, and found in a Maildir. */
function firstMessage(
  {
    listeners,
    cwd,
    domain,
    maildir,
  }: Pick<Started, "cwd"> &
    Pick<Started["server"], "listeners"> & { readonly domain: string | undefined; readonly maildir: string },
  err: Output,
): string {
  const mx = listeners.find((listener) => listener.role === "mx");
  if (!mx || domain === undefined) return "";
  const host = mx.address === "0.0.0.0" ? "127.0.0.1" : mx.address === "::" ? "::1" : mx.address;
  const to = `you@${domain}`;
  const curl = `printf 'From: me@example.com\\r\\nTo: ${to}\\r\\nSubject: Hello\\r\\n\\r\\nIt works.\\r\\n' |\n    curl -sS smtp://${forUrl(host)}:${mx.port} --mail-from me@example.com --mail-rcpt ${to} -T -`;
  const lines = [err.paint("dim", "Send a first message:"), `  ${curl}`];
  if (existsSync(join(cwd, "node_modules/nodemailer"))) {
    const node = `node -e 'import("nodemailer").then((m) => m.createTransport({ host: "${host}", port: ${mx.port}, ignoreTLS: true }).sendMail({ from: "me@example.com", to: "${to}", subject: "Hello", text: "It works." }))'`;
    lines.push(err.paint("dim", "or, without curl:"), `  ${node}`);
  }
  lines.push(err.paint("dim", "and read it:"), `  cat ${maildir}/${domain}/you/new/*`);
  return lines.map((line) => `${line}\n`).join("");
}

function forUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
