/** A site with a listener of every kind, for peers to talk to: its configuration, its ports, and what arrived. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePorts } from "../free-ports.ts";
import { Site } from "../site.ts";
import { findIds, findMail, findMailWhere } from "./sample-mail.ts";
import { certificateFile, keyFile } from "./tls-files.ts";

/** Who may log in at `submission` and `submissions`. */
export const account = { name: "ann", password: "correct horse" } as const;

/** A domain of ours for each way in, so that a peer that routes by domain can be told apart by it. */
export const localDomains = [
  ...["example.test", "clear.test", "starttls.test", "implicit.test", "lmtp.test", "lmtps.test", "forward.test"],
  ...["data.test", "prdr.test", "plain.test", "login.test", "scram.test"],
] as const;

const tls = `cert = "${certificateFile}"
key = "${keyFile}"`;

/** Listeners by name; each has its own port. */
const listeners = {
  clear: "",
  starttls: `[listeners.tls]\n${tls}`,
  implicit: `[listeners.tls]\nmode = "implicit"\n${tls}`,
  submission: `role = "submission"\nauth.mechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256"]\n[listeners.tls]\n${tls}`,
  submissions: `role = "submission"\nauth.mechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256"]\n[listeners.tls]\nmode = "implicit"\n${tls}`,
  lmtp: 'role = "lmtp"',
  lmtps: `role = "lmtp"\n[listeners.tls]\n${tls}`,
  // What they say of the client is from other networks: nobody in DNS is asked about it.
  trusting: 'verify = "off"\ntrusted.xclient = ["127.0.0.1"]\ntrusted.xforward = ["127.0.0.1"]',
  proxied: 'verify = "off"\ntrusted.proxy = ["127.0.0.1"]',
} as const;

export type InteropListener = keyof typeof listeners;

export interface InteropSiteOptions {
  /** `[delivery.smarthost]`'s keys in TOML. */
  readonly smarthost?: string;
  /** Of the user the smarthost is told. */
  readonly password?: string;
  /** Scripts by name. */
  readonly scripts?: Readonly<Record<string, string>>;
}

export class InteropSite {
  readonly site: Site;
  readonly ports: Readonly<Record<InteropListener, number>>;
  readonly #secrets: string;

  private constructor(site: Site, ports: Readonly<Record<InteropListener, number>>, secrets: string) {
    this.site = site;
    this.ports = ports;
    this.#secrets = secrets;
  }

  static async start({ smarthost, password, scripts }: InteropSiteOptions = {}): Promise<InteropSite> {
    const names = Object.keys(listeners) as InteropListener[];
    const free = await freePorts(names.length);
    const ports = Object.fromEntries(names.map((name, i) => [name, free[i]!])) as Record<InteropListener, number>;
    const secrets = mkdtempSync(join(tmpdir(), "onarrival-secrets-"));
    const passwordFile = join(secrets, "password");
    if (password !== undefined) writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    const sections = [smarthost, password === undefined ? undefined : `password_file = "${passwordFile}"`];
    const site = await Site.start({
      config: configuration(ports, sections.filter((section) => section !== undefined).join("\n")),
      ...(scripts && { scripts }),
      env: { ONARRIVAL_SMTP_PORT: String(ports.clear), NODE_EXTRA_CA_CERTS: certificateFile },
    });
    return new InteropSite(site, ports, secrets);
  }

  /** The message with this Message-ID, whoever's mailbox it is in. */
  received(id: string): Promise<Buffer> {
    return findMail(this.#files("*"), id, () => this.words());
  }

  /** A message to `user@example.test` whose beginning matches. */
  receivedBy(user: string, wanted: RegExp): Promise<Buffer> {
    return findMailWhere(this.#files(user), (top) => wanted.test(top), {
      what: `for ${user} with ${wanted}`,
      words: () => this.words(),
    });
  }

  /** Waits until mailboxes of this user hold so many messages. Gives their Message-IDs, sorted. */
  receivedIds(user: string, count: number): Promise<readonly string[]> {
    return findIds(this.#files(user), count, () => this.words());
  }

  /** The log's end, for people. */
  words(): string {
    return this.site
      .log()
      .slice(-40)
      .map((line) => JSON.stringify(line))
      .join("\n");
  }

  async remove(): Promise<void> {
    await this.site.remove();
    rmSync(this.#secrets, { recursive: true, force: true });
  }

  #files(user: string): string {
    return join(this.site.dataFolder, "mail", "*", user, "new", "*");
  }
}

function configuration(ports: Readonly<Record<InteropListener, number>>, smarthost: string): string {
  const sections = Object.entries(listeners).map(
    ([name, more]) => `[[listeners]]\nname = "${name}"\nport = ${ports[name as InteropListener]}\n${more}\n`,
  );
  return `hostname = "onarrival.test"

${sections.join("\n")}
[domains]
local = ${JSON.stringify(localDomains)}
relay = ["postfix.test", "exim.test", "sink.test"]

${smarthost === "" ? "" : `[delivery.smarthost]\n${smarthost}\n`}
[delivery.retry]
first = "1s"
max = "2s"

[[sinks]]
module = "${resolve(import.meta.dirname, "accounts-sink.ts")}"
event = "onAuth"
properties = { passwords = { "${account.name}" = "${account.password}" } }

[[sinks]]
module = "${resolve(import.meta.dirname, "picky-sink.ts")}"
event = "onEndOfData"
`;
}
