/**
 * The composition root: configuration in, running server out. The only file that knows every part. Parts are started in the order they
 * lean on each other, the listeners last; where one cannot start, those before it are stopped again and nothing is left half-started.
 */
import { join } from "node:path";
import { stopCompiler } from "../sandbox/compile.ts";
import { Sandbox } from "../sandbox/host.ts";
import { defaultLimits, type SandboxNotice, type ScriptLimits } from "../sandbox/protocol.ts";
import { serveControl } from "./admin/control.ts";
import { serveAdmin } from "./admin/http.ts";
import { controlSocketName, type ListenerView } from "./admin/server-view.ts";
import type { LoadedConfig } from "./config/load.ts";
import type { Config, ListenerConfig } from "./config/schema.ts";
import { type Binding, priorityDefault } from "./events/binding.ts";
import { Dispatcher } from "./events/dispatcher.ts";
import { eventNames, eventTable } from "./events/event-table.ts";
import { startLibraryListener } from "./inbound/library-engine.ts";
import type { Listener, ListenerOptions } from "./inbound/listener.ts";
import { startNativeListener } from "./inbound/native-engine.ts";
import { Reception } from "./inbound/reception.ts";
import { prepareFolders, readNamedFile } from "./main-files.ts";
import { createServerView } from "./main-view.ts";
import { createDelivery } from "./outbound/deliver.ts";
import type { Smarthost } from "./outbound/next-hop.ts";
import { type Clock, systemClock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import { createLog, type Log } from "./platform/log.ts";
import { Metrics } from "./platform/metrics.ts";
import { Queue } from "./queue/queue.ts";
import { createRetrySchedule } from "./queue/retry-schedule.ts";
import { LastGood } from "./scripting/last-good.ts";
import { ScriptRegistry } from "./scripting/registry.ts";
import { createScriptRunner } from "./scripting/runner.ts";
import { loadSinks, serverBindings } from "./sinks/load-sinks.ts";
import { loopGuard } from "./sinks/loop-guard.ts";
import { relayControl } from "./sinks/relay-control.ts";
import { BadMail } from "./spool/badmail.ts";
import { createMemorySpool } from "./spool/memory.ts";
import { openSqliteSpool } from "./spool/sqlite.ts";

export interface RunningServer {
  readonly listeners: readonly ListenerView[];
  readonly admin: { readonly address: string; readonly port: number };
  /** Takes no new mail, finishes what is in hand, and lets go of everything. */
  stop(): Promise<void>;
  /** Reads configuration and scripts again; says in words what changed and what needs a restart. @throws {Fault} `config.invalid`; then nothing changed */
  reload(): Promise<string[]>;
}

export interface StartOptions {
  readonly log?: Log;
  readonly clock?: Clock;
  /** Reads the configuration again, for `reload`. */
  readonly loadAgain?: () => LoadedConfig;
}

/** How long a transaction or an attempt in hand may take to finish when the server stops. */
const drainMs = 30_000;

/** @throws {Fault} `data.unusable`, `listen.failed`, `rule.syntax`, `spool.failed`; then nothing runs */
export async function startServer(loaded: LoadedConfig, options: StartOptions = {}): Promise<RunningServer> {
  /** What stops what was started, last started first stopped. */
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stopAll = async (log?: Log) => {
    for (const stop of stops.splice(0).reverse()) {
      try {
        await stop();
      } catch (error) {
        log?.error("server.stop-failed", { reason: describeThrown(error) });
      }
    }
  };
  try {
    return await start(loaded, options, stops, stopAll);
  } catch (error) {
    await stopAll();
    throw error;
  }
}

async function start(
  { config, file }: LoadedConfig,
  options: StartOptions,
  stops: (() => Promise<unknown> | unknown)[],
  stopAll: (log?: Log) => Promise<void>,
): Promise<RunningServer> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? createLog({ level: config.log.level });
  const startedAt = clock.now();
  await prepareFolders(config);

  const spool =
    config.spool.backend === "memory"
      ? createMemorySpool()
      : await openSqliteSpool({ folder: config.data, log, clock });
  stops.push(() => spool.close());
  const badmail = new BadMail(join(config.data, "badmail"));

  const metrics: Metrics = new Metrics({ queue: () => spool.counts(), scripts: () => view.scriptCounts() });
  const limits: ScriptLimits = { ...defaultLimits, ...config.scripts.limits };
  const sandbox = await Sandbox.start({
    processes: config.scripts.processes,
    limits,
    rssMiBMax: config.scripts.rssMiBMax,
    onNotice: (notice) => reportNotice(notice, log, metrics),
  });
  stops.push(
    () => stopCompiler(),
    () => sandbox.close(),
  );

  const dispatcher = new Dispatcher({
    log,
    clock,
    breaker: config.scripts.breaker,
    scripts: createScriptRunner({
      sandbox,
      limits,
      log,
      onRun: ({ script, fault, wallMs }) => metrics.countRun(script, fault === null ? "ok" : "fault", wallMs / 1_000),
    }),
  });

  const localDomains = new Set(config.domains.local);
  const relayDomains = new Set(config.domains.relay);
  const own = serverBindings(
    [
      { sink: relayControl({ localDomains, relayDomains }), events: ["onRcptTo"] },
      { sink: loopGuard(), events: ["onArrival"] },
    ],
    priorityDefault,
  );
  const sinks = await loadSinks(config.sinks, log);
  stops.push(() => sinks.close());
  let scriptBindings: readonly Binding[] = [];
  const bindAll = (released?: () => void) =>
    dispatcher.replaceBindings([...own, ...sinks.bindings, ...scriptBindings], released);
  bindAll();
  warnOfSilentEvents(sinks.bindings, log);

  const registry = new ScriptRegistry({
    folder: config.scripts.folder,
    sandbox,
    lastGood: new LastGood(join(config.data, "scripts")),
    limits,
    clock,
    log,
    bind: (bindings, released) => {
      scriptBindings = bindings;
      bindAll(released);
    },
  });
  stops.push(() => registry.stop());
  await registry.start();

  const delivery = createDelivery({
    localDomains,
    smarthost: await readSmarthost(config),
    maildirRoot: config.delivery.maildir,
    hostName: config.hostname,
    clock,
    smtpLimits: { connectionsMax: config.delivery.connectionsMax },
  });
  stops.push(() => delivery.close());
  const { firstMs, maxMs, lifetimeMs } = config.delivery.retry;
  const queue = new Queue({
    spool,
    clock,
    log,
    hostName: config.hostname,
    schedule: createRetrySchedule({ firstDelaysMs: doubling(firstMs, maxMs), steadyDelayMs: maxMs, lifetimeMs }),
    attemptsMax: config.delivery.concurrency,
    laneOf: (recipients) => delivery.laneOf(recipients),
    deliver: delivery.deliver,
    tell: (name, subject) => {
      if (name === "onDelivered") metrics.deliveries.delivered++;
      else if (name === "onDeferred") metrics.deliveries.deferred++;
      else if (name === "onFailed") metrics.deliveries.failed++;
      dispatcher.tell(name, subject);
    },
  });
  stops.push(() => queue.stop(drainMs));

  let draining = false;
  const listeners: Listener[] = [];
  const listenerViews: ListenerView[] = [];
  const view = createServerView({
    dispatcher,
    registry,
    queue,
    spool,
    metrics,
    facts: { startedAt, configFile: file, config },
    listeners: listenerViews,
    draining: () => draining,
    sessions: () => listeners.reduce((sum, listener) => sum + listener.sessions, 0),
  });
  const control = await serveControl({ view, path: join(config.data, controlSocketName) });
  stops.push(() => control.close());
  const admin = await serveAdmin({
    view,
    address: config.admin.address,
    port: config.admin.port,
    hosts: config.admin.hosts,
  });
  stops.push(() => admin.close());

  // All at once: while one waits for its clients, no other takes new mail.
  stops.push(() => Promise.all(listeners.map((listener) => listener.close(drainMs))));
  for (const listenerConfig of config.listeners) {
    const listenerOptions = await readListener(listenerConfig, config.hostname);
    const reception = new Reception(listenerOptions, {
      dispatcher,
      spool,
      badmail,
      clock,
      log,
      // A reload may change them.
      get postmasterDomain() {
        return localDomains.values().next().value ?? config.hostname;
      },
      enqueue: (message) => queue.enqueue(message),
      count: (result, sizeOctets) => {
        metrics.received[result]++;
        if (result === "accepted") metrics.receivedOctets += sizeOctets;
      },
      countSession: () => metrics.sessions++,
    });
    const startListener = listenerConfig.engine === "native" ? startNativeListener : startLibraryListener;
    const listener = await startListener(listenerOptions, reception, { clock, log });
    listeners.push(listener);
    listenerViews.push({
      name: listener.name,
      address: listener.address,
      port: listener.port,
      role: listenerConfig.role,
    });
  }
  // Mail from before the restart goes out only now: a server that cannot start has not begun to deliver.
  await queue.start();
  log.info("server.started", {
    listeners: listenerViews,
    admin: { address: admin.address, port: admin.port },
    queue: spool.counts().messages,
  });

  let present = config;
  let stopped: Promise<void> | undefined;
  return {
    listeners: listenerViews,
    admin: { address: admin.address, port: admin.port },
    stop() {
      if (!stopped) log.info("server.stopping", {});
      draining = true;
      return (stopped ??= stopAll(log).then(() => log.info("server.stopped", {})));
    },
    async reload() {
      const changes: string[] = [];
      if (options.loadAgain) {
        const next = options.loadAgain().config;
        delivery.reroute({ localDomains, smarthost: await readSmarthost(next) });
        changes.push(
          ...applyDomains(next, localDomains, relayDomains),
          ...applySmarthost(present, next),
          ...needsRestart(config, next),
        );
        queue.recheckHeld();
        present = next;
      }
      await registry.reload();
      changes.push("scripts: read again");
      for (const change of changes) log.info("server.reloaded", { change });
      return changes;
    },
  };
}

async function readListener(listener: ListenerConfig, hostname: string): Promise<ListenerOptions> {
  const { name, address, port, role, limits, lineEnds, tls } = listener;
  const pem = tls && {
    cert: await readNamedFile(tls.cert, `tls.cert of listener ${name}`),
    key: await readNamedFile(tls.key, `tls.key of listener ${name}`),
  };
  return { name, address, port, role, limits, lineEnds, hostname, ...(pem ? { tls: pem } : {}) };
}

async function readSmarthost({ delivery }: Config): Promise<Smarthost | null> {
  if (!delivery.smarthost) return null;
  const { passwordFile, user, ...smarthost } = delivery.smarthost;
  if (user === undefined || passwordFile === undefined) return smarthost;
  const text = (await readNamedFile(passwordFile, "delivery.smarthost.password_file")).toString("utf8");
  return { ...smarthost, user, password: text.split(/\r?\n/)[0]! };
}

/** Waits from `firstMs` on, each twice the one before, while they are below `maxMs`. */
function doubling(firstMs: number, maxMs: number): number[] {
  const waits: number[] = [];
  for (let wait = firstMs; wait < maxMs; wait *= 2) waits.push(wait);
  return waits;
}

function reportNotice(notice: SandboxNotice, log: Log, metrics: Metrics): void {
  const { kind, ...facts } = notice;
  if (kind === "started") log.info("sandbox.started", { ...facts });
  else {
    metrics.sandboxDeaths++;
    log.warn(`sandbox.${kind}`, { ...facts });
  }
}

/** A sink bound to an event that never fires would wait for ever; say so. */
function warnOfSilentEvents(bindings: readonly Binding[], log: Log): void {
  const silent = new Set(eventNames.filter((event) => !eventTable[event].fired));
  for (const binding of bindings) {
    if (silent.has(binding.event)) log.warn("binding.never-fires", { binding: binding.id, trigger: binding.event });
  }
}

function applyDomains({ domains }: Config, localDomains: Set<string>, relayDomains: Set<string>): string[] {
  const changes: string[] = [];
  for (const [option, present, wanted] of [
    ["domains.local", localDomains, domains.local],
    ["domains.relay", relayDomains, domains.relay],
  ] as const) {
    const before = [...present].sort().join(", ");
    present.clear();
    for (const domain of wanted) present.add(domain);
    const after = [...present].sort().join(", ");
    if (before !== after) changes.push(`${option}: now ${after || "none"}`);
  }
  return changes;
}

function applySmarthost({ delivery: before }: Config, { delivery: after }: Config): string[] {
  if (JSON.stringify(before.smarthost) === JSON.stringify(after.smarthost)) return [];
  return [`delivery.smarthost: now ${after.smarthost ? `${after.smarthost.host}:${after.smarthost.port}` : "none"}`];
}

/** The options, section by section, whose new values are not in force before a restart. */
function needsRestart(running: Config, next: Config): string[] {
  const withoutLive = ({ domains: _domains, delivery: { smarthost: _smarthost, ...delivery }, ...rest }: Config) => ({
    ...rest,
    delivery,
  });
  const [before, after] = [withoutLive(running), withoutLive(next)];
  return (Object.keys(after) as (keyof typeof after)[])
    .filter((section) => JSON.stringify(before[section]) !== JSON.stringify(after[section]))
    .map((section) => `${section}: changed, needs a restart`);
}
