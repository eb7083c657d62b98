/**
 * A process that fills a spool until it is killed: `node spool-writer.ts FOLDER BODY_OCTETS AT_ONCE COUNT [die]`. It says `accepted ID` once the spool
 * took custody, and `failed CODE ID` where it did not; with `die` it then kills itself at once. Every second message is recorded as delivered: it says `delivering ID` before, `delivered ID` after.
 */
import { writeSync } from "node:fs";
import { silentLog } from "../../src/platform/log.ts";
import { openSqliteSpool } from "../../src/spool/sqlite.ts";
import { createSampleMessage } from "./sample-message.ts";

const [folder = "", bodyOctets = "0", atOnce = "1", count = "1", onFailure = ""] = process.argv.slice(2);
const say = (line: string) => writeSync(1, `${line}\n`);

const spool = await openSqliteSpool({ folder, log: silentLog });
say("open");
let left = Number(count);

async function write(): Promise<void> {
  while (left-- > 0) {
    const place = left;
    let id = "-";
    try {
      const writer = spool.createBody();
      await writer.write(Buffer.alloc(Number(bodyOctets), "x"));
      const message = createSampleMessage({ receivedAt: Date.now(), body: await writer.finish() });
      id = message.id;
      await spool.accept([message], 0);
      say(`accepted ${message.id}`);
      if (place % 2 === 0) continue;
      say(`delivering ${message.id}`);
      await spool.record(message.id, [
        { index: 0, state: "delivered", attempts: 1, nextAttemptAt: 0, lastOutcome: "" },
      ]);
      say(`delivered ${message.id}`);
    } catch (error) {
      say(`failed ${(error as { code?: string }).code} ${id}`);
      if (onFailure === "die") process.kill(process.pid, "SIGKILL");
    }
  }
}

await Promise.all(Array.from({ length: Number(atOnce) }, write));
await spool.close();
say("closed");
