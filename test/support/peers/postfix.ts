/**
 * Postfix for a test: a private instance in a temporary folder, with its own queue, on loopback ports. It takes mail for `postfix.test` into a
 * Maildir, and sends mail for the domains of its routes on. Its own defaults but for what the privacy of the instance needs. Needs root.
 */
import { execFileSync } from "node:child_process";
import { chownSync, existsSync, globSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../free-ports.ts";
import { type Finished, runProgram } from "../site.ts";
import { requireTool } from "../tools.ts";
import { createPrivateFolder, PrivateServer } from "./private-server.ts";
import { certificateFile, keyFile } from "./tls-files.ts";

/** Mail for a domain goes to this port of `localhost`, with these settings of smtp(8). */
export interface PostfixRoute {
  readonly port: number;
  readonly protocol?: "smtp" | "lmtp";
  /** Settings by name, without the `smtp_` or `lmtp_` they begin with. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A port of its own with other settings of smtpd(8), without the `smtpd_` they begin with. */
export type PostfixServices = Readonly<Record<string, Readonly<Record<string, string>>>>;

const noTls = { tls_security_level: "none" };
const services = {
  clear: noTls,
  starttls: { tls_security_level: "may" },
  implicit: { tls_wrappermode: "yes" },
  /** What a server of an earlier day offers. */
  bare: { ...noTls, discard_ehlo_keywords: "chunking,smtputf8,dsn,8bitmime,pipelining,size,enhancedstatuscodes" },
  /** Takes mail from users who log in by SCRAM-SHA-256; see `saslFolder`. */
  users: {
    tls_security_level: "encrypt",
    sasl_auth_enable: "yes",
    client_restrictions: "permit_sasl_authenticated,reject",
  },
} as const satisfies PostfixServices;

export type PostfixService = keyof typeof services;

export class Postfix extends PrivateServer<PostfixService> {
  static async start(
    routes: Readonly<Record<string, PostfixRoute>>,
    users: Readonly<Record<string, string>> = {},
  ): Promise<Postfix> {
    const folder = createPrivateFolder("postfix");
    const names = Object.keys(services) as PostfixService[];
    const free = await freePorts(names.length);
    const ports = Object.fromEntries(names.map((name, i) => [name, free[i]!])) as Record<PostfixService, number>;
    writeInstance(folder, { ports, routes });
    await addUsers(folder, users);
    const postfix = new Postfix({
      folder,
      ports,
      command: [requireTool("postfix-master"), "-c", join(folder, "config"), "-d"],
      upPorts: ["clear"],
      maildir: "mail/all/new/*",
      mailboxField: "Delivered-To",
      logFiles: ["mail.log"],
    });
    await postfix.up();
    return postfix;
  }

  /** Waits until nothing new is delivered any more. Gives the ids of what is left in the queue. */
  async settle(): Promise<ReadonlySet<string>> {
    // A killed cleanup leaves what nobody was promised in incoming/, without the mode that makes it a message.
    const queued = () =>
      globSync(join(this.folder, "queue/{incoming,active,deferred,hold}/**/*")).filter((file) => {
        const stats = statSync(file);
        return stats.isFile() && (stats.mode & 0o100) !== 0;
      });
    await runProgram(requireTool("postqueue"), ["-c", join(this.folder, "config"), "-f"]).catch(() => {});
    for (let i = 0; i < 300 && queued().length > 0; i++) await sleep(100);
    return new Set(queued().map((file) => basename(file)));
  }

  /** sendmail(1) with these arguments; Postfix makes what it passes on from lines that end as they do here. */
  sendmail(args: readonly string[], octets: Buffer): Promise<Finished> {
    return runProgram(requireTool("postfix-sendmail"), ["-C", join(this.folder, "config"), "-i", ...args], {
      input: octets,
    });
  }
}

function writeInstance(
  folder: string,
  {
    ports,
    routes,
  }: {
    readonly ports: Readonly<Record<PostfixService, number>>;
    readonly routes: Readonly<Record<string, PostfixRoute>>;
  },
): void {
  const uid = idOf("-u");
  const [config, queue, data] = ["config", "queue", "data"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [config, queue, data, join(queue, "pid")]) mkdirSync(path, { mode: 0o755 });
  for (const name of [
    ...["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"],
    ...["maildrop", "public"],
  ]) {
    mkdirSync(join(queue, name), { mode: 0o700 });
    chownSync(join(queue, name), uid, 0);
  }
  mkdirSync(join(folder, "mail"));
  for (const path of [data, join(folder, "mail")]) chownSync(path, uid, 0);
  writeFileSync(
    join(config, "main.cf"),
    `
compatibility_level = 3.6
queue_directory = ${queue}
data_directory = ${data}
daemon_directory = ${dirname(requireTool("postfix-master"))}
command_directory = ${dirname(requireTool("postconf"))}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.test
mydestination =
virtual_mailbox_domains = postfix.test
virtual_mailbox_base = ${join(folder, "mail")}
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:${uid}
virtual_gid_maps = static:${idOf("-g")}
virtual_minimum_uid = 1
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
transport_maps = inline:{ ${Object.entries(routes)
      .map(([domain, { port }]) => `{ ${domain} = ${serviceOf(domain)}:[localhost]:${port} }`)
      .join(", ")} }
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_recipient_restrictions = check_recipient_access inline:{ { refused@postfix.test = REJECT not here } }, permit_mynetworks, reject
message_size_limit = 20971520
smtp_line_length_limit = 0
lmtp_line_length_limit = 0
smtpd_tls_cert_file = ${certificateFile}
smtpd_tls_key_file = ${keyFile}
smtpd_tls_received_header = yes
smtp_tls_CAfile = ${certificateFile}
lmtp_tls_CAfile = ${certificateFile}
smtp_tls_loglevel = 1
smtpd_tls_loglevel = 1
cyrus_sasl_config_path = ${join(config, "sasl")}
smtpd_sasl_local_domain = postfix.test
maillog_file = ${join(folder, "mail.log")}
maillog_file_prefixes = ${folder}
`,
  );
  const listening = Object.entries(services).map(
    ([name, settings]) =>
      `127.0.0.1:${ports[name as PostfixService]} inet n - n - - smtpd${options("smtpd", settings)}`,
  );
  const sending = Object.entries(routes).map(([domain, { protocol = "smtp", settings = {} }]) => {
    return `${serviceOf(domain)} unix - - n - - ${protocol}${options(protocol, settings)}`;
  });
  writeFileSync(
    join(config, "master.cf"),
    `
${listening.join("\n")}
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
virtual   unix  - n n - - virtual
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
${sending.join("\n")}
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
`,
  );
}

/** Cyrus SASL's own store of users; without any the service `users` has nobody to let in. */
async function addUsers(folder: string, users: Readonly<Record<string, string>>): Promise<void> {
  const sasl = join(folder, "config/sasl");
  mkdirSync(sasl);
  const store = join(sasl, "users.db");
  writeFileSync(
    join(sasl, "smtpd.conf"),
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${store}\nmech_list: SCRAM-SHA-256\n`,
  );
  for (const [user, password] of Object.entries(users)) {
    const { status, stderr } = await runProgram(
      requireTool("saslpasswd2"),
      ["-p", "-c", "-u", "postfix.test", "-f", store, user],
      { input: password },
    );
    if (status !== 0) throw new Error(`Cannot add ${user} to ${store}: ${stderr}`);
  }
  if (existsSync(store)) chownSync(store, idOf("-u"), 0);
}

function options(program: string, settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `\n  -o { ${program}_${name} = ${value} }`)
    .join("");
}

/** A service of its own for each route: `to-clear` for `clear.test`. */
function serviceOf(domain: string): string {
  return `to-${domain.replaceAll(".", "-")}`;
}

function idOf(which: "-u" | "-g"): number {
  return Number(execFileSync("id", [which, "postfix"], { encoding: "utf8" }));
}
