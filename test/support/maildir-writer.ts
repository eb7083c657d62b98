/** A process that delivers one message into a Maildir and says so: `node maildir-writer.ts ROOT`. */
import { writeSync } from "node:fs";
import { MaildirStore } from "../../src/outbound/maildir.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { createSampleMessage } from "./sample-message.ts";

const message = createSampleMessage();
await new MaildirStore({ root: process.argv[2]!, clock: systemClock }).deliver(
  message,
  message.envelope.recipients[0]!.mailbox,
);
writeSync(1, "delivered\n");
