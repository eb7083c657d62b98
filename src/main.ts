/**
 * The composition root: configuration in, running server out. The only file that knows every part. Parts are started in the order they
 * lean on each other, the listeners last; where one cannot start, those before it are stopped again and nothing is left half-started.
 */
import { join } from "node:path";
import { serveControl } from "./admin/control.ts";
import type { ExplainRequest } from "./admin/explain-view.ts";
import { serveAdmin } from "./admin/http.ts";
import { controlSocketName, type ListenerView } from "./admin/server-view.ts";
import { BindingFile } from "./config/binding-file.ts";
import type { LoadedConfig } from "./config/load.ts";
import { Dispatcher } from "./events/dispatcher.ts";
import { type Observation, traceOf } from "./events/observation.ts";
import { eventOfId } from "./events/override.ts";
import { Tracer } from "./events/trace.ts";
import { DiskSpace } from "./inbound/disk-space.ts";
import type { Listener } from "./inbound/listener.ts";
import type { ArrivalResult } from "./inbound/reception.ts";
import { createVerifier } from "./inbound/verify.ts";
import type { Message } from "./mail/message.ts";
import { createBindingControl } from "./main-bindings.ts";
import { deliveryChanges, grantChanges, needsRestart, sinkChanges, smarthostChanges } from "./main-changes.ts";
import { createControlRoutes } from "./main-control.ts";
import { createEntrances } from "./main-entrances.ts";
import { explainMail } from "./main-explain.ts";
import { prepareFolders, readListeners, siteFolder } from "./main-files.ts";
import { startListeners } from "./main-listeners.ts";
import { OwnHandling } from "./main-own.ts";
import { openScripts } from "./main-scripts.ts";
import { createTransport, queueSettingsOf } from "./main-transport.ts";
import { createServerView } from "./main-view.ts";
import { type Clock, systemClock } from "./platform/clock.ts";
import { armedCrashPoint } from "./platform/crash-point.ts";
import { describeThrown } from "./platform/fault.ts";
import { createLog, type Log, type LogListener, withListener } from "./platform/log.ts";
import { LoopLag } from "./platform/loop-lag.ts";
import { Metrics } from "./platform/metrics.ts";
import { createResolver } from "./platform/resolver.ts";
import { Queue } from "./queue/queue.ts";
import { SinkLoader } from "./sinks/load-sinks.ts";
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
  loaded: LoadedConfig,
  options: StartOptions,
  stops: (() => Promise<unknown> | unknown)[],
  stopAll: (log?: Log) => Promise<void>,
): Promise<RunningServer> {
  const { config, file } = loaded;
  const clock = options.clock ?? systemClock;
  // Before the dispatcher is there, nobody listens.
  let tellLog: LogListener = () => {};
  const log = withListener(options.log ?? createLog({ level: config.log.level }), (...line) => tellLog(...line));
  const startedAt = clock.now();
  if (armedCrashPoint !== null) log.warn("server.crash-armed", { point: armedCrashPoint });
  await prepareFolders(config);
  const read = await readListeners(config, { clock, log });
  stops.push(() => read.close());

  const spool =
    config.spool.backend === "memory"
      ? createMemorySpool()
      : await openSqliteSpool({ folder: config.data, log, clock });
  stops.push(() => spool.close());
  const badmail = new BadMail(join(config.data, "badmail"));
  const halfWritten = await badmail.sweep();
  if (halfWritten > 0) log.info("badmail.swept", { removed: halfWritten });

  const metrics: Metrics = new Metrics({
    queue: () => spool.counts(),
    waiting: () => {
      const { running, due, held } = queue.counts();
      return { running, due, held };
    },
    scripts: () => view.scriptCounts(),
    tls: () => transport.tlsReport().totals,
    runs: () => scripts.figures.sums(),
  });
  const resolver = createResolver({ clock, ...config.dns });
  stops.push(() => resolver.close());
  const scripts = await openScripts({
    config,
    isLocal: (domain) => own.localDomains.has(domain),
    postmasterDomain: () => postmasterDomain(),
    async take(messages) {
      await spool.accept(messages, clock.now());
      for (const message of messages) queue.enqueue(message);
    },
    resolver,
    metrics,
    clock,
    log,
  });
  stops.push(() => scripts.close());

  const tracer = new Tracer();
  const traceDecision = (observation: Observation) => tracer.publish(traceOf(observation, clock.now()));
  const dispatcher = new Dispatcher({
    log,
    clock,
    breaker: config.scripts.breaker,
    get observe() {
      return tracer.active ? traceDecision : undefined;
    },
    scripts: scripts.runner,
  });

  tellLog = (level, event, fields) => {
    // What a sink says of the log is not said to it again: it would never end.
    if (typeof fields.binding === "string" && eventOfId(fields.binding) === "onLog") return;
    dispatcher.tell("onLog", { level, event, fields, at: clock.now() });
  };

  const own = await OwnHandling.open({ config, events: dispatcher, clock, log });
  stops.push(() => own.close());
  // A reload may change them.
  const postmasterDomain = () => own.localDomains.values().next().value ?? config.hostname;
  const configFolder = siteFolder(loaded);
  const loader = new SinkLoader({ clock, log, resolver, folder: join(config.data, "sinks"), configFolder });
  stops.push(() => loader.close());
  const bindings = createBindingControl({
    file: new BindingFile(config.data),
    loader,
    own: own.bindings,
    scripts: scripts.bindings,
    dispatcher,
    clock,
    log,
    folder: configFolder,
  });
  await bindings.start(config.sinks);

  stops.push(() => scripts.registry.stop());
  await scripts.start((released) => bindings.rebind(released));

  const listeners: Listener[] = [];
  const listenerViews: ListenerView[] = [];
  const transport = await createTransport({
    config,
    own,
    events: dispatcher,
    badmail,
    resolver,
    tracer,
    listeners: () => listenerViews,
    clock,
    log,
  });
  stops.push(() => transport.close());
  const queue = new Queue({
    spool,
    clock,
    log,
    ...queueSettingsOf(config),
    categorize: transport.categorize,
    createReports: transport.createReports,
    quarantine: transport.quarantine,
    laneOf: transport.delivery.laneOf,
    deliver: transport.delivery.deliver,
    tell: (name, subject) => {
      if (name === "onDelivered") metrics.deliveries.delivered++;
      else if (name === "onDeferred") metrics.deliveries.deferred++;
      else if (name === "onFailed") metrics.deliveries.failed++;
      dispatcher.tell(name, subject);
    },
  });
  // Behind the queue's end: scripts are told of its last outcomes.
  stops.push(() => Promise.race([dispatcher.whenTold(), new Promise<void>((done) => clock.after(drainMs, done))]));
  stops.push(() => queue.stop(drainMs));

  const count = (result: ArrivalResult, sizeOctets: number) => {
    metrics.received[result]++;
    if (result === "accepted") metrics.receivedOctets += sizeOctets;
  };
  const disk = new DiskSpace({
    folder: config.data,
    clock,
    log,
    reserveOctets: config.spool.diskReserveOctets,
    inodesReserve: config.spool.inodesReserve,
  });
  await disk.start();
  stops.push(() => disk.stop());
  const custody = {
    dispatcher,
    spool,
    badmail,
    clock,
    log,
    room: disk,
    onFull: () => void disk.look(),
    enqueue: (message: Message) => queue.enqueue(message),
    count,
  };
  const entrances = createEntrances({ config, custody });
  stops.push(() => entrances.close());

  let present = config;
  let draining = false;
  const view = createServerView({
    dispatcher,
    missing: () => bindings.missing(),
    registry: scripts.registry,
    granted: scripts.granted,
    spool,
    short: () => disk.short(),
    metrics,
    facts: { startedAt, configFile: file, config },
    listeners: listenerViews,
    draining: () => draining,
    sessions: () => listeners.reduce((sum, listener) => sum + listener.sessions, 0),
  });
  const explain = (request: ExplainRequest) =>
    explainMail(
      {
        live: true,
        bindingsOf: (list) => dispatcher.bindingsOf(list),
        healthOf: (id) => dispatcher.healthOf(id),
        scripts: scripts.rehearsals,
        listeners: read.options,
        postmasterDomain: postmasterDomain(),
        own,
        clock,
      },
      request,
    );
  const control = await serveControl({
    view,
    path: join(config.data, controlSocketName),
    routes: createControlRoutes({
      bindings,
      scripts: scripts.control(view),
      watch: scripts.watch,
      tracer,
      explain,
      queue,
      spool,
      transport,
      own,
      entrances,
      events: dispatcher,
      lifetimeMs: () => config.delivery.retry.lifetimeMs,
      clock,
    }),
  });
  stops.push(() => control.close());
  const admin = await serveAdmin({
    view,
    address: config.admin.address,
    port: config.admin.port,
    hosts: config.admin.hosts,
  });
  stops.push(() => admin.close());

  const verifier = createVerifier({ resolver, hostname: config.hostname, clock, log });
  stops.push(() => verifier.close());
  // All at once: while one waits for its clients, no other takes new mail.
  stops.push(() => Promise.all(listeners.map((listener) => listener.close(drainMs))));
  const lag = new LoopLag(clock);
  stops.push(() => lag.stop());
  const reception = {
    ...custody,
    verifier,
    tracer,
    get postmasterDomain() {
      return postmasterDomain();
    },
    countSession: () => metrics.sessions++,
  };
  await startListeners({ config, options: read.options, reception, lag, dispatcher, log }, listeners, listenerViews);
  // Mail from before the restart goes out only now: a server that cannot start has not begun to deliver.
  await queue.start();
  await entrances.start();
  log.info("server.started", {
    listeners: listenerViews,
    admin: { address: admin.address, port: admin.port },
    queue: spool.counts().messages,
  });

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
        // All that can be wrong is found before anything changes.
        const [takeTransport, takeOwn] = [await transport.prepare(next), own.prepare(next)];
        await bindings.reload(next.sinks);
        takeTransport();
        changes.push(
          ...(await takeOwn()),
          ...smarthostChanges(present, next),
          ...deliveryChanges(present, next),
          ...sinkChanges(present, next),
          ...grantChanges(present, next),
          ...needsRestart(config, next),
        );
        await read.reload();
        await queue.reroute();
        queue.reshape(queueSettingsOf(next).shapes ?? []);
        present = next;
      }
      await scripts.reload(present);
      changes.push("scripts: read again");
      for (const change of changes) log.info("server.reloaded", { change });
      return changes;
    },
  };
}
