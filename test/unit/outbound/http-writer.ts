/** A process that delivers one message to a URL and says so: `node http-writer.ts URL`. */
import { writeSync } from "node:fs";
import { HttpDelivery } from "../../../src/outbound/http-delivery.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { queuedRecipients } from "../../../src/spool/spool.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const message = createSampleMessage({ id: "01TESTMESSAGE000" });
const http = new HttpDelivery({ settings: { secret: null, timeoutMs: 10_000 }, clock: systemClock });
const recipients = queuedRecipients(message.envelope, 0);
await http.deliver({ url: process.argv[2]!, message, recipients, attemptId: "A1" });
writeSync(1, "delivered\n");
http.close();
