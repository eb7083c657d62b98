/** A process that delivers one message into a drop folder and says so: `node drop-writer.ts FOLDER`. */
import { writeSync } from "node:fs";
import { DropFolder } from "../../../src/outbound/drop.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const message = createSampleMessage();
const drop = new DropFolder({
  folder: process.argv[2]!,
  settings: { octetsMax: 0, retentionMs: 0 },
  clock: systemClock,
  log: silentLog,
});
await drop.deliver(message, [message.envelope.recipients[0]!]);
writeSync(1, "delivered\n");
