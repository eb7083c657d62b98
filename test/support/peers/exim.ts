/**
 * Exim for a test: a private instance in a temporary folder, on loopback ports. It takes mail for `exim.test` into a Maildir, and sends mail for
 * the domains of its routes on. The recipient `refused@exim.test` is refused at the end of data where the client asked for PRDR. Needs root.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../free-ports.ts";
import { runProgram } from "../site.ts";
import { requireTool } from "../tools.ts";
import { createPrivateFolder, PrivateServer } from "./private-server.ts";
import { certificateFile, keyFile } from "./tls-files.ts";

/** Mail for a domain goes to this port of `localhost`, with these options of the smtp transport. `OUR_AUTHORITY` is the file of the authority of the tests' certificate. */
export interface EximRoute {
  readonly port: number;
  readonly options?: Readonly<Record<string, string>>;
}

export interface EximOptions {
  /** By domain. */
  readonly routes: Readonly<Record<string, EximRoute>>;
  /** Who may log in, and who it logs in as where a route says `hosts_require_auth`. */
  readonly user: { readonly name: string; readonly password: string };
}

type EximPort = "clear" | "starttls" | "implicit" | "users";

export class Exim extends PrivateServer<EximPort> {
  static async start(options: EximOptions): Promise<Exim> {
    const folder = createPrivateFolder("exim");
    const [clear, starttls, implicit, users] = (await freePorts(4)) as [number, number, number, number];
    const ports = { clear, starttls, implicit, users };
    const uid = Number(execFileSync("id", ["-u", eximUser], { encoding: "utf8" }));
    for (const name of ["spool", "log", "mail", "tls"]) {
      mkdirSync(join(folder, name));
      chownSync(join(folder, name), uid, 0);
    }
    // Exim runs itself again, and reads the certificate, as its own user, who need not be able to read where they are.
    copyFileSync(requireTool("exim"), join(folder, "exim4"));
    chmodSync(join(folder, "exim4"), 0o755);
    for (const [file, name] of [
      [certificateFile, "cert.pem"],
      [keyFile, "key.pem"],
    ] as const) {
      copyFileSync(file, join(folder, "tls", name));
      chownSync(join(folder, "tls", name), uid, 0);
    }
    writeFileSync(join(folder, "exim.conf"), configuration(folder, ports, options));
    const exim = new Exim({
      folder,
      ports,
      command: [join(folder, "exim4"), "-C", join(folder, "exim.conf"), "-bdf", "-q1m"],
      upPorts: ["clear", "starttls", "implicit", "users"],
      maildir: "mail/new/*",
      mailboxField: "Envelope-to",
      logFiles: ["log/mainlog", "log/rejectlog", "log/paniclog"],
    });
    await exim.up();
    return exim;
  }

  /** Runs the queue until nothing new is delivered any more. Gives the ids of what is left in it. */
  async settle(): Promise<ReadonlySet<string>> {
    const exim = [join(this.folder, "exim4"), "-C", join(this.folder, "exim.conf")] as const;
    // A message of which only one half is there was never promised.
    const queued = () =>
      globSync(join(this.folder, "spool/input/**/*-H")).filter((file) => existsSync(file.replace(/-H$/, "-D")));
    for (let i = 0; i < 30 && queued().length > 0; i++) {
      await runProgram(exim[0], [...exim.slice(1), "-qff"]);
      await sleep(200);
    }
    return new Set(queued().map((file) => basename(file, "-H")));
  }
}

/** The user Debian's Exim is built for. */
const eximUser = "Debian-exim";

function configuration(
  folder: string,
  ports: Readonly<Record<EximPort, number>>,
  { routes, user }: EximOptions,
): string {
  const domains = Object.keys(routes);
  return `
OUR_AUTHORITY = ${folder}/tls/cert.pem
primary_hostname = exim.test
spool_directory = ${folder}/spool
log_file_path = ${folder}/log/%slog
pid_file_path = ${folder}/spool/exim.pid
exim_path = ${folder}/exim4
keep_environment =
disable_ipv6 = true
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${Object.values(ports).join(" : ")}
tls_on_connect_ports = ${ports.implicit}
tls_advertise_hosts = \${if eq{$received_port}{${ports.clear}}{}{*}}
tls_certificate = ${folder}/tls/cert.pem
tls_privatekey = ${folder}/tls/key.pem
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 20M
prdr_enable = true
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
qualify_domain = exim.test
smtp_accept_queue_per_connection = 0
log_selector = +all -arguments
acl_smtp_rcpt = take_rcpt
acl_smtp_data = take
acl_smtp_data_prdr = take_prdr

begin acl
take_rcpt:
  deny condition = \${if eq{$received_port}{${ports.users}}}
       !authenticated = *
       message = Log in first
  accept
take:
  accept
take_prdr:
  deny local_parts = refused
       message = Not by me
  accept

begin routers
here:
  driver = accept
  domains = exim.test
  transport = maildir
there:
  driver = manualroute
  route_list = ${domains.map((domain) => `${domain} localhost byname ${transportOf(domain)}`).join(" ; ")}
  self = send
nowhere:
  driver = redirect
  data = :blackhole:

begin transports
maildir:
  driver = appendfile
  directory = ${folder}/mail
  maildir_format
  envelope_to_add
  user = ${eximUser}
${domains
  .map(
    (domain) => `${transportOf(domain)}:
  driver = smtp
  port = ${routes[domain]!.port}
  message_linelength_limit = 100000
${Object.entries(routes[domain]!.options ?? {})
  .map(([name, value]) => `  ${name} = ${value}\n`)
  .join("")}`,
  )
  .join("")}
begin retry
* * F,1h,2s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if and{{eq{$auth2}{${user.name}}}{eq{$auth3}{${user.password}}}}}
  server_set_id = $auth2
  server_advertise_condition = \${if and{{def:tls_in_cipher}{eq{$received_port}{${ports.users}}}}}
  client_send = ^${user.name}^${user.password}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = \${if and{{eq{$auth1}{${user.name}}}{eq{$auth2}{${user.password}}}}}
  server_set_id = $auth1
  server_advertise_condition = \${if and{{def:tls_in_cipher}{eq{$received_port}{${ports.users}}}}}
  client_send = : ${user.name} : ${user.password}
`;
}

function transportOf(domain: string): string {
  return `to_${domain.replaceAll(".", "_")}`;
}
