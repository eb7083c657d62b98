/**
 * Postfix in the benchmark: a private instance in a temporary folder, with its own queue and ports, and a milter in Python (pymilter) that reads
 * the subject and adds the field. Settings are Postfix's own defaults but for what the privacy of the instance needs.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";
import { waitFor } from "../support/site.ts";
import { findTool, requireTool } from "../support/tools.ts";
import type { Contender } from "./contender.ts";

export function postfixContender(): Contender {
  const missing = whatIsMissing();
  return {
    name: "Postfix + pymilter",
    facts:
      missing ??
      `${execFileSync(requireTool("postconf"), ["-d", "-h", "mail_version"], { encoding: "utf8" }).trim()}, default settings, milter in ${python("import sys; print('Python', sys.version.split()[0])").stdout.trim()}`,
    missing,
    async start({ folder, sinkPort }) {
      const [port] = await freePorts(1);
      const milterSocket = join(folder, "milter.sock");
      const config = createInstance(folder, { port: port!, milterSocket, sinkPort });
      const milter = new Daemon(
        [findTool("python3")!, join(import.meta.dirname, "peers/bench_milter.py"), milterSocket],
        {
          logFile: join(folder, "milter.log"),
          cwd: folder,
        },
      );
      const started: Daemon[] = [milter];
      const stop = async () => {
        for (const daemon of started.reverse()) await daemon.stop();
      };
      try {
        await waitFor(() => existsSync(milterSocket) || undefined, "the milter's socket", 10_000);
        chmodSync(milterSocket, 0o666);
        const master = new Daemon([findTool("postfix-master")!, "-c", config, "-d"], {
          logFile: join(folder, "master.log"),
          cwd: folder,
        });
        started.push(master);
        await master.listensOn([port!]);
        return { port: port!, processes: [master.pid, milter.pid], stop };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

function whatIsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "its master process must be started by root";
  if (findTool("postfix-master") === undefined) return "not installed (apt-get install postfix)";
  if (findTool("python3") === undefined || python("import Milter").status !== 0)
    return "pymilter is not installed (apt-get install python3-milter)";
  return undefined;
}

function python(program: string): { status: number | null; stdout: string } {
  return spawnSync(findTool("python3")!, ["-c", program], { encoding: "utf8" });
}

/** Writes config and queue folders. Gives the config folder. */
function createInstance(
  folder: string,
  ports: { readonly port: number; readonly milterSocket: string; readonly sinkPort: number },
): string {
  const config = join(folder, "config");
  const queue = join(folder, "queue");
  const data = join(folder, "data");
  const uid = Number(execFileSync("id", ["-u", "postfix"], { encoding: "utf8" }));
  for (const path of [config, queue, data, join(queue, "pid")]) mkdirSync(path, { recursive: true, mode: 0o755 });
  for (const name of [
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
    "maildrop",
    "public",
  ]) {
    const path = join(queue, name);
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, uid, 0);
  }
  chownSync(data, uid, 0);
  writeFileSync(
    join(config, "main.cf"),
    `
compatibility_level = 3.6
queue_directory = ${queue}
data_directory = ${data}
daemon_directory = ${dirname(findTool("postfix-master")!)}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.example
mydestination =
local_transport = error:no local mail
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:${ports.sinkPort}
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_milters = unix:${ports.milterSocket}
milter_default_action = tempfail
maillog_file = ${join(folder, "mail.log")}
maillog_file_prefixes = ${folder}
`,
  );
  writeFileSync(
    join(config, "master.cf"),
    `
127.0.0.1:${ports.port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsmgr    unix  - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
`,
  );
  return config;
}
