/** What the program is told: the configuration as types, with all paths absolute and all units in the names. The options it is made of are in option-table.ts. */
import { join } from "node:path";
import type { TlsPolicy } from "../events/subject-outbound.ts";
import type { LogLevel } from "../platform/log.ts";
import type { Rate } from "../platform/value.ts";
import { defaultPriority } from "../sinks/default-priority.ts";
import type { SinkEntry } from "../sinks/load-sinks.ts";
import type { ValuesOf } from "./option.ts";
import type { configTable } from "./option-table.ts";
import { type ScriptsConfig, scriptsConfigOf } from "./script-config.ts";

export type ConfigValues = ValuesOf<typeof configTable>;

/** Absolute paths of PEM files. */
export interface CertificateConfig {
  readonly cert: string;
  readonly key: string;
}

export interface ListenerConfig {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly role: "mx" | "submission" | "lmtp";
  readonly engine: "library" | "native";
  readonly lineEnds: "refuse" | "normalize";
  /** Whose mail is checked by SPF, DKIM, DMARC and ARC. */
  readonly verify: "off" | "public" | "all";
  readonly binaryMime: boolean;
  readonly tls?: CertificateConfig & {
    readonly mode: "starttls" | "implicit";
    readonly askCertificate: boolean;
    readonly more: readonly CertificateConfig[];
  };
  readonly auth: { readonly mechanisms: readonly string[]; readonly inClear: boolean };
  readonly trusted: {
    readonly proxy: readonly string[];
    readonly xclient: readonly string[];
    readonly xforward: readonly string[];
    readonly results: readonly string[];
  };
  readonly limits: {
    readonly sizeOctetsMax: number;
    readonly recipientsMax: number;
    readonly connectionsMax: number;
    readonly connectionsPerClientMax: number;
    readonly idleTimeoutMs: number;
    readonly dataTimeoutMs: number;
    readonly dataOctetsPerSecondMin: number;
    readonly handshakeTimeoutMs: number;
    readonly decisionTimeoutMs: number;
    readonly errorsMax: number;
    readonly idleCommandsMax: number;
    readonly shedLagMs: number;
  };
}

interface SmarthostConfig {
  readonly host: string;
  readonly port: number;
  readonly tls: "opportunistic" | "required" | "off";
  readonly implicitTls?: true;
  readonly user?: string;
  /** Absolute. */
  readonly passwordFile?: string;
}

/** 0: for ever, without limit. */
interface FolderConfig {
  readonly retentionMs: number;
  readonly sizeOctetsMax: number;
}

/** Everything the server can be told. All paths are absolute. */
export interface Config {
  readonly data: string;
  readonly hostname: string;
  /** At least one; names differ. */
  readonly listeners: readonly ListenerConfig[];
  readonly domains: {
    readonly local: readonly string[];
    readonly relay: readonly string[];
    readonly aliases: string | null;
    readonly mailboxes: string | null;
    readonly plus: string;
  };
  /** The first that matches holds. `to` as `parseNextHop` reads it. */
  readonly routes: readonly { readonly match: string; readonly to: string }[];
  readonly delivery: {
    readonly maildir: string;
    /** As `parseNextHop` reads it. */
    readonly local: string;
    readonly remote: "hold" | "mx";
    /** 0: no limit. */
    readonly mailboxOctetsMax: number;
    readonly http: { readonly secretFile: string | null; readonly timeoutMs: number };
    readonly mxPort: number;
    readonly addresses: "any" | "ipv4" | "ipv6";
    readonly privateAddresses: boolean;
    readonly mtaSts: boolean;
    readonly dane: boolean;
    readonly attemptTimeoutMs: number;
    /** The first that matches holds. */
    readonly shape: readonly {
      readonly match: string;
      readonly connectionsMax: number | null;
      readonly rate: Rate | null;
    }[];
    readonly reportTemplate: string | null;
    readonly smarthost?: SmarthostConfig;
    /** The first whose host matches holds. */
    readonly tls: readonly { readonly host: string; readonly policy: TlsPolicy }[];
    readonly connectionsMax: number;
    readonly concurrency: number;
    readonly retry: {
      readonly firstMs: number;
      readonly maxMs: number;
      readonly lifetimeMs: number;
      /** 0: never. */
      readonly delayWarningMs: number;
    };
  };
  readonly dns: {
    readonly servers: readonly string[];
    readonly trustedServers: readonly string[];
    readonly timeoutMs: number;
  };
  readonly pickup: { readonly enabled: boolean; readonly folder: string };
  readonly drop: FolderConfig & { readonly folder: string };
  readonly badmail: FolderConfig;
  readonly auth: { readonly users: string; readonly senderMustMatch: boolean; readonly rate: Rate | null };
  readonly dkim: { readonly folder: string; readonly sign: boolean };
  readonly spool: {
    readonly backend: "sqlite" | "memory";
    readonly diskReserveOctets: number;
    readonly inodesReserve: number;
  };
  readonly sinks: readonly SinkEntry[];
  readonly scripts: ScriptsConfig;
  readonly admin: { readonly address: string; readonly port: number; readonly hosts: readonly string[] };
  readonly log: { readonly level: LogLevel };
}

/** The options' values in the program's shape: names with units, absent instead of null. */
export function configOf(values: ConfigValues): Config {
  const { delivery, scripts, log } = values;
  return {
    data: values.data,
    hostname: values.hostname,
    listeners: values.listeners.map(({ line_ends, binarymime, tls, auth, limits, ...listener }) => ({
      ...listener,
      lineEnds: line_ends,
      binaryMime: binarymime,
      ...(tls && {
        tls: { mode: tls.mode, cert: tls.cert, key: tls.key, askCertificate: tls.ask_certificate, more: tls.more },
      }),
      auth: { mechanisms: auth.mechanisms, inClear: auth.in_clear },
      limits: {
        sizeOctetsMax: limits.size_max,
        recipientsMax: limits.recipients_max,
        connectionsMax: limits.connections_max,
        connectionsPerClientMax: limits.connections_per_client_max,
        idleTimeoutMs: limits.idle_timeout,
        dataTimeoutMs: limits.data_timeout,
        dataOctetsPerSecondMin: limits.data_rate_min,
        handshakeTimeoutMs: limits.handshake_timeout,
        decisionTimeoutMs: limits.decision_timeout,
        errorsMax: limits.errors_max,
        idleCommandsMax: limits.idle_commands_max,
        shedLagMs: limits.shed_lag,
      },
    })),
    domains: values.domains,
    routes: values.routes,
    delivery: {
      maildir: delivery.maildir ?? join(values.data, "mail"),
      local: delivery.local,
      remote: delivery.remote,
      mailboxOctetsMax: delivery.mailbox_size_max,
      http: { secretFile: delivery.http.secret_file, timeoutMs: delivery.http.timeout },
      mxPort: delivery.mx_port,
      addresses: delivery.addresses,
      privateAddresses: delivery.private_addresses,
      mtaSts: delivery.mta_sts,
      dane: delivery.dane,
      attemptTimeoutMs: delivery.attempt_timeout,
      shape: delivery.shape.map(({ match, connections_max, rate }) => ({
        match,
        connectionsMax: connections_max,
        rate,
      })),
      reportTemplate: delivery.dsn.template,
      ...(delivery.smarthost && { smarthost: smarthostOf(delivery.smarthost) }),
      tls: delivery.tls,
      connectionsMax: delivery.connections_max,
      concurrency: delivery.concurrency,
      retry: {
        firstMs: delivery.retry.first,
        maxMs: delivery.retry.max,
        lifetimeMs: delivery.retry.lifetime,
        delayWarningMs: delivery.retry.delay_warning,
      },
    },
    dns: { servers: values.dns.servers, trustedServers: values.dns.trusted, timeoutMs: values.dns.timeout },
    pickup: { enabled: values.pickup.enabled, folder: values.pickup.folder ?? join(values.data, "pickup") },
    drop: {
      folder: values.drop.folder ?? join(values.data, "drop"),
      retentionMs: values.drop.retention,
      sizeOctetsMax: values.drop.size_max,
    },
    badmail: { retentionMs: values.badmail.retention, sizeOctetsMax: values.badmail.size_max },
    auth: {
      users: values.auth.users ?? join(values.data, "users.json"),
      senderMustMatch: values.auth.sender_must_match,
      rate: values.auth.rate,
    },
    dkim: { folder: values.dkim.folder ?? join(values.data, "dkim"), sign: values.dkim.sign },
    spool: {
      backend: values.spool.backend,
      diskReserveOctets: values.spool.disk_reserve,
      inodesReserve: values.spool.inodes_reserve,
    },
    sinks: values.sinks.map((sink) => ({
      ...(sink.use !== null && { use: sink.use }),
      ...(sink.module !== null && { module: sink.module }),
      ...(sink.export !== null && { export: sink.export }),
      events: sink.events ?? (sink.event === null ? [] : [sink.event]),
      ...(sink.name !== null && { name: sink.name }),
      priority: sink.priority ?? defaultPriority(sink.use),
      rule: sink.rule,
      enabled: sink.enabled,
      ...(sink.phase === "queue" && { phase: sink.phase }),
      onFault: sink.on_fault,
      timeoutMs: sink.timeout,
      maxFirings: sink.max_firings,
      properties: sink.properties,
    })),
    scripts: scriptsConfigOf(scripts),
    admin: values.admin,
    log,
  };
}

function smarthostOf({
  host,
  port,
  tls,
  implicit_tls,
  user,
  password_file,
}: NonNullable<ConfigValues["delivery"]["smarthost"]>): SmarthostConfig {
  return {
    host,
    port,
    tls,
    ...(implicit_tls && { implicitTls: true as const }),
    ...(user !== null && { user }),
    ...(password_file !== null && { passwordFile: password_file }),
  };
}
