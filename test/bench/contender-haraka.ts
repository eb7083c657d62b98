/** Haraka in the benchmark: a plugin in JavaScript reads the subject and adds the field, its own outbound queue relays to the sink. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";
import type { Contender } from "./contender.ts";

const node = resolve(import.meta.dirname, "../../node_modules/.bin/node");
/** Where install-peers.sh puts it. */
const peersFolder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "onarrival-bench");
const haraka = join(peersFolder, "node_modules/Haraka");

export function harakaContender(): Contender {
  const installed = existsSync(join(haraka, "package.json"));
  return {
    name: "Haraka + JS plugin",
    facts: installed
      ? `${JSON.parse(readFileSync(join(haraka, "package.json"), "utf8")).version} on node ${process.versions.node}, one process, default settings`
      : "",
    missing: installed ? undefined : "not installed (test/bench/install-peers.sh)",
    async start({ folder, sinkPort }) {
      const [port] = await freePorts(1);
      for (const name of ["config", "plugins", "queue"]) mkdirSync(join(folder, name));
      copyFileSync(join(import.meta.dirname, "peers/bench-plugin.cjs"), join(folder, "plugins/bench.js"));
      const config: Record<string, string> = {
        plugins: "bench\n",
        me: "bench.example\n",
        "smtp.ini": `listen=127.0.0.1:${port}\nnodes=0\n`,
        "outbound.ini": "enable_tls=false\nlocal_mx_ok=true\n",
        host_list: "",
      };
      // What its own scaffolding copies into every new folder: the core reads its defaults from there.
      copyFileSync(join(haraka, "config/connection.ini"), join(folder, "config/connection.ini"));
      for (const [name, text] of Object.entries(config)) writeFileSync(join(folder, "config", name), text);
      const server = new Daemon([node, join(haraka, "bin/haraka"), "-c", folder], {
        logFile: join(folder, "haraka.log"),
        cwd: folder,
        env: { BENCH_SINK_PORT: String(sinkPort) },
      });
      try {
        await server.listensOn([port!]);
      } catch (error) {
        await server.stop();
        throw error;
      }
      return { port: port!, processes: [server.pid], stop: () => server.stop() };
    },
  };
}
