/** What happens to a message in custody, put together: who it is for, which way it goes, how it is delivered, what its sender is told. */
import { join } from "node:path";
import type { Config } from "./config/schema.ts";
import type { Dispatcher } from "./events/dispatcher.ts";
import type { Tracer } from "./events/trace.ts";
import type { NextHop } from "./mail/next-hop.ts";
import { readFirstLine, readSmarthost } from "./main-files.ts";
import type { OwnHandling } from "./main-own.ts";
import type { RouteTarget } from "./main-route.ts";
import { createDelivery, type Delivery } from "./outbound/deliver.ts";
import { DropFolder } from "./outbound/drop.ts";
import { HopResolver } from "./outbound/hop-targets.ts";
import { HttpDelivery } from "./outbound/http-delivery.ts";
import { LmtpDelivery } from "./outbound/lmtp.ts";
import { LocalDelivery } from "./outbound/local.ts";
import { MaildirStore } from "./outbound/maildir.ts";
import { createIsOurselves } from "./outbound/mx-ourselves.ts";
import { type Smarthost, type TlsOverride, tlsPolicyOf } from "./outbound/next-hop.ts";
import { createRemote, type RemoteSettings } from "./outbound/remote.ts";
import type { TlsReport } from "./outbound/tls-report.ts";
import { openTlsRequirements, type TlsRequirements } from "./outbound/tls-requirement.ts";
import { objectionTo } from "./platform/address-policy.ts";
import type { Clock } from "./platform/clock.ts";
import { describeThrown } from "./platform/fault.ts";
import type { Log } from "./platform/log.ts";
import type { Resolver } from "./platform/resolver.ts";
import { createCategorizer } from "./queue/categorize.ts";
import type { Categorize, CreateReports, Quarantine } from "./queue/ports.ts";
import type { QueueOptions } from "./queue/queue-options.ts";
import { createReporter } from "./queue/reports.ts";
import { readReportTemplate } from "./queue/reports-template.ts";
import { createRetrySchedule } from "./queue/retry-schedule.ts";
import type { BadMail } from "./spool/badmail.ts";

export interface TransportParts {
  readonly config: Config;
  readonly own: OwnHandling;
  readonly events: Dispatcher;
  readonly badmail: Pick<BadMail, "keep">;
  readonly resolver: Resolver;
  readonly tracer: Tracer;
  /** Where we listen: mail that DNS sends there goes round in a circle. */
  readonly listeners: () => readonly { readonly address: string; readonly port: number }[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface Transport {
  readonly delivery: Delivery;
  readonly categorize: Categorize;
  readonly createReports: CreateReports;
  readonly quarantine: Quarantine;
  /** Every next hop is asked again, also one that was down a moment ago. */
  readonly askAnew: () => void;
  /** How TLS with next hops went. RFC 8460. */
  readonly tlsReport: () => TlsReport;
  /** For `onarrival route`. */
  readonly targetsOf: (hop: NextHop) => Promise<readonly RouteTarget[]>;
  /** Reads what another configuration names; what is given back takes it up. @throws {Fault} `config.unreadable` */
  prepare(next: Config): Promise<() => void>;
  /** Ends every connection; attempts under way are deferred. */
  close(): Promise<void>;
}

/** @throws {Fault} `config.unreadable`, `report.template` */
export async function createTransport(parts: TransportParts): Promise<Transport> {
  const { config, own, events, badmail, resolver, tracer, listeners, clock, log } = parts;
  const { delivery: options, hostname: hostName } = config;
  let present = config;
  let template = await readReportTemplate(options.reportTemplate);
  const quarantine: Quarantine = (message, { reason, binding }) =>
    badmail.keep(message, { reason, binding, at: clock.now() });
  const isOurselves = createIsOurselves({ names: [hostName], listeners });
  const hops = new HopResolver({
    resolver,
    events,
    settings: () => {
      const { mxPort, addresses, privateAddresses } = present.delivery;
      return { mxPort, addresses, privateAddresses, isOurselves };
    },
  });
  const tls = await openTlsRequirements({
    folder: config.data,
    resolver,
    clock,
    log,
    mayConnect: (ip) => present.delivery.privateAddresses || objectionTo(ip) === undefined,
    settings: () => {
      const { tls: overrides, mtaSts, dane } = present.delivery;
      return { overrides, mtaSts, dane };
    },
  });
  const settings = await remoteSettingsOf(config);
  let { smarthost } = settings;
  const remote = createRemote({
    settings,
    hops,
    tls,
    events,
    tracer,
    clock,
    hostName,
    limits: { connectionsMax: options.connectionsMax },
  });
  const lmtp = new LmtpDelivery({
    hostName,
    clock,
    events,
    tracer,
    limits: { connectionsMax: options.connectionsMax },
  });
  const http = new HttpDelivery({
    settings: await httpSettingsOf(config),
    clock,
    connectionsMax: options.connectionsMax,
  });
  const drop = new DropFolder({ folder: config.drop.folder, settings: dropSettingsOf(config), clock, log });
  drop.start();
  const maildirs = new MaildirStore({ root: options.maildir, clock, mailboxOctetsMax: options.mailboxOctetsMax });
  const local = new LocalDelivery({
    events,
    log,
    maildirs,
    drop,
    lmtp,
    http,
    quarantine,
    mailboxOf: ({ mailbox }) => own.book.mailboxOf(mailbox),
  });
  return {
    delivery: createDelivery({ router: own.router, remote, local }),
    categorize: createCategorizer({ events, clock, log, quarantine }),
    createReports: createReporter({
      hostName,
      clock,
      log,
      events,
      template: () => template,
      lifetimeMs: () => options.retry.lifetimeMs,
    }),
    quarantine,
    targetsOf: (hop) => targetsOf(hop, { hops, tls, smarthost, overrides: present.delivery.tls }),
    askAnew: () => remote.askAnew(),
    tlsReport: () => tls.report(),
    async prepare(next) {
      const [settings, requests] = [await remoteSettingsOf(next), await httpSettingsOf(next)];
      // Reports in the words from before are better than none.
      const words = await readReportTemplate(next.delivery.reportTemplate).catch((error: unknown) => {
        log.error("report.template-kept", { reason: describeThrown(error) });
        return template;
      });
      return () => {
        remote.reconfigure(settings);
        ({ smarthost } = settings);
        http.settings = requests;
        drop.settings = dropSettingsOf(next);
        maildirs.mailboxOctetsMax = next.delivery.mailboxOctetsMax;
        template = words;
        present = next;
      };
    },
    async close() {
      remote.close();
      lmtp.close();
      http.close();
      await drop.close();
      await tls.close();
    },
  };
}

/** The servers mail for a next hop would be offered to, and how much TLS they have to have. @throws {Error} in words where there are none */
async function targetsOf(
  hop: NextHop,
  {
    hops,
    tls,
    smarthost,
    overrides,
  }: {
    readonly hops: HopResolver;
    readonly tls: TlsRequirements;
    readonly smarthost: Smarthost | null;
    readonly overrides: readonly TlsOverride[];
  },
): Promise<readonly RouteTarget[]> {
  if (hop.kind !== "mx" && hop.kind !== "smtp" && hop.kind !== "smarthost") return [];
  const resolved = await hops.resolve(hop, smarthost);
  if (resolved.kind !== "targets") throw new Error(`${resolved.reason} (${resolved.status})`);
  const { domain, targets, fromMx } = resolved;
  const requirements =
    hop.kind === "smarthost" && smarthost !== null
      ? targets.map(() => ({ policy: tlsPolicyOf(smarthost, overrides), by: "config", refused: undefined }))
      : await tls.of(domain, targets, fromMx);
  return targets.map(({ host, addresses }, i) => {
    const { policy, by, refused } = requirements[i]!;
    const words = by === "default" || by === "config" ? policy : `${policy} by ${by}`;
    return { host, addresses, tls: refused === undefined ? words : `refused: ${refused}` };
  });
}

async function remoteSettingsOf(config: Config): Promise<RemoteSettings> {
  return {
    smarthost: await readSmarthost(config),
    tlsPolicies: config.delivery.tls,
  };
}

async function httpSettingsOf({ delivery: { http } }: Config): Promise<HttpDelivery["settings"]> {
  const secret = http.secretFile === null ? null : await readFirstLine(http.secretFile, "delivery.http.secret_file");
  return { secret, timeoutMs: http.timeoutMs };
}

function dropSettingsOf({ drop }: Config): DropFolder["settings"] {
  return { octetsMax: drop.sizeOctetsMax, retentionMs: drop.retentionMs };
}

/** What the configuration says of the queue. */
export function queueSettingsOf({
  data,
  hostname,
  delivery,
}: Config): Pick<
  QueueOptions,
  "hostName" | "schedule" | "attemptsMax" | "attemptTimeoutMs" | "delayWarningMs" | "shapes" | "destinationsFile"
> {
  const { firstMs, maxMs, lifetimeMs, delayWarningMs } = delivery.retry;
  return {
    hostName: hostname,
    schedule: createRetrySchedule({ firstDelaysMs: doubling(firstMs, maxMs), steadyDelayMs: maxMs, lifetimeMs }),
    attemptsMax: delivery.concurrency,
    attemptTimeoutMs: delivery.attemptTimeoutMs,
    delayWarningMs,
    shapes: delivery.shape.map(({ match, connectionsMax, rate }) => ({
      match,
      ...(connectionsMax !== null && { connectionsMax }),
      ...(rate !== null && { rate }),
    })),
    destinationsFile: join(data, "destinations.json"),
  };
}

/** Waits from `firstMs` on, each twice the one before, while they are below `maxMs`. */
function doubling(firstMs: number, maxMs: number): number[] {
  const waits: number[] = [];
  for (let wait = firstMs; wait < maxMs; wait *= 2) waits.push(wait);
  return waits;
}
