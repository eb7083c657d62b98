/** OnArrival in the benchmark: durable spool, one native sink and one script that reads the subject and adds a field, smarthost is the sink. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";
import { benchField, type Contender } from "./contender.ts";

const root = resolve(import.meta.dirname, "../..");

const nativeSink = `let subjects = 0;
export const countSubjects = {
  name: "count-subjects",
  onArrival({ message }) {
    if (message.header.get("Subject") !== undefined) subjects++;
  },
};
`;

const script = `import type { ArrivalHandler } from "onarrival";
export const onArrival: ArrivalHandler = (mail) => {
  mail.headers.add("${benchField}", mail.subject);
};
`;

export function onArrivalContender(): Contender {
  return {
    name: "OnArrival",
    facts: `node ${process.versions.node}, SQLite spool (synchronous=FULL), 1 native sink, 1 script in a sandbox process`,
    missing: undefined,
    async start({ folder, sinkPort }) {
      const [port, adminPort] = await freePorts(2);
      mkdirSync(join(folder, "scripts"));
      writeFileSync(join(folder, "scripts/bench.ts"), script);
      writeFileSync(join(folder, "count-subjects.ts"), nativeSink);
      writeFileSync(
        join(folder, "onarrival.toml"),
        `
[[listeners]]
port = ${port}

[domains]
local = []
relay = ["example.net"]

[delivery.smarthost]
host = "127.0.0.1"
port = ${sinkPort}
tls = "off"

[[sinks]]
module = "./count-subjects.ts"
event = "onArrival"

[admin]
port = ${adminPort}
`,
      );
      const server = new Daemon([join(root, "node_modules/.bin/node"), join(root, "src/cli/launch.mjs"), "serve"], {
        logFile: join(folder, "onarrival.log"),
        cwd: folder,
        env: { ONARRIVAL_CONFIG: join(folder, "onarrival.toml") },
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
