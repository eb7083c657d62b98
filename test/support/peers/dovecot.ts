/**
 * Dovecot's LMTP server for a test: a private instance in a temporary folder, on a loopback port and on a socket, with users of its own and a Maildir for
 * each. Nothing else of Dovecot runs. Needs root, because Dovecot does.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../free-ports.ts";
import { requireTool } from "../tools.ts";
import { Daemon } from "./daemon.ts";

export interface DovecotUser {
  /** Octets his mailbox may hold; absent: as many as come. */
  readonly quotaOctets?: number;
  /** What is over quota is told to come again, and not refused. */
  readonly laterWhenFull?: boolean;
}

export class Dovecot {
  readonly folder: string;
  readonly port: number;
  /** Path of the socket. */
  readonly socket: string;
  readonly #daemon: Daemon;

  private constructor(folder: string, port: number, daemon: Daemon) {
    this.folder = folder;
    this.port = port;
    this.socket = join(folder, "run/lmtp-test");
    this.#daemon = daemon;
  }

  /** @param users by address */
  static async start(users: Readonly<Record<string, DovecotUser>>): Promise<Dovecot> {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-dovecot-"));
    chmodSync(folder, 0o755); // Dovecot's own users have to come in.
    const [port] = (await freePorts(1)) as [number];
    const uid = Number(execFileSync("id", ["-u", mailUser], { encoding: "utf8" }));
    mkdirSync(join(folder, "mail"));
    chownSync(join(folder, "mail"), uid, 0);
    writeFileSync(join(folder, "users"), Object.entries(users).map(formatUser).join(""), { mode: 0o644 });
    writeFileSync(join(folder, "dovecot.conf"), configuration(folder, port));
    const daemon = new Daemon([requireTool("dovecot"), "-F", "-c", join(folder, "dovecot.conf")], {
      logFile: join(folder, "daemon.log"),
      cwd: folder,
    });
    const dovecot = new Dovecot(folder, port, daemon);
    try {
      await daemon.listensOn([port]);
      return dovecot;
    } catch (error) {
      const words = dovecot.log();
      await dovecot.remove();
      throw new Error(`${(error as Error).message}\n${words}`, { cause: error });
    }
  }

  /** Messages in somebody's mailbox as they lie there, oldest first. */
  mail(address: string): Buffer[] {
    const [user, domain] = address.split("@") as [string, string];
    return globSync(join(this.folder, "mail", domain, user, "new/*"))
      .sort()
      .map((file) => readFileSync(file));
  }

  log(): string {
    const file = join(this.folder, "dovecot.log");
    return existsSync(file) ? readFileSync(file, "utf8").slice(-10_000) : "";
  }

  async remove(): Promise<void> {
    await this.#daemon.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Owns the mailboxes; comes with the package. */
const mailUser = "dovecot";

function formatUser([address, { quotaOctets, laterWhenFull = false }]: [string, DovecotUser]): string {
  const extra = [
    ...(quotaOctets === undefined ? [] : [`userdb_quota_rule=*:bytes=${quotaOctets}`]),
    ...(laterWhenFull ? ["userdb_quota_full_tempfail=yes"] : []),
  ];
  return `${address}:{PLAIN}none::::::${extra.join(" ")}\n`;
}

function configuration(folder: string, port: number): string {
  return `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/dovecot.log
instance_name = ${folder.split("/").at(-1)}
protocols = lmtp
ssl = no
default_internal_user = ${mailUser}
default_internal_group = ${mailUser}
mail_location = maildir:${folder}/mail/%d/%n
mail_uid = ${mailUser}
mail_gid = ${mailUser}
first_valid_uid = 1
first_valid_gid = 1
postmaster_address = postmaster@dovecot.test
hostname = dovecot.test
passdb {
  driver = passwd-file
  args = username_format=%u ${folder}/users
}
userdb {
  driver = passwd-file
  args = username_format=%u ${folder}/users
}
protocol lmtp {
  mail_plugins = quota
}
plugin {
  quota = maildir:mailbox
  quota_grace = 0
}
service lmtp {
  unix_listener ${folder}/run/lmtp-test {
    mode = 0600
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = ${port}
  }
}
`;
}
