/** What reception owes a message, whichever engine speaks: see transcripts for what clients hear. */
import { describe, expect, test } from "vitest";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import { InboundSession } from "../../../src/inbound/session.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { BadMail } from "../../../src/spool/badmail.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

describe("endOfData", () => {
  test("says 250 to what is in custody, even where the queue cannot be told of it", async () => {
    const log = createRecordingLog();
    const spool = createMemorySpool();
    const limits = {
      sizeOctetsMax: 100_000,
      recipientsMax: 100,
      connectionsMax: 100,
      connectionsPerClientMax: 3,
      idleTimeoutMs: 60_000,
    };
    const reception = new Reception(
      {
        name: "mx",
        address: "127.0.0.1",
        port: 0,
        role: "mx",
        hostname: "mx.example.test",
        limits,
        lineEnds: "refuse",
      },
      {
        dispatcher: new Dispatcher({
          log,
          clock: systemClock,
          scripts: { run: () => Promise.reject(new Error("none")) },
        }),
        spool,
        badmail: new BadMail("/nowhere"),
        clock: systemClock,
        log,
        postmasterDomain: "example.test",
        enqueue: () => {
          throw new Error("oops");
        },
      },
    );
    const session = new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.1", port: 1, startedAt: 0 });
    await reception.mailFrom(session, "<ann@example.org>", new Map());
    await reception.rcptTo(session, "<bob@example.test>", new Map());
    const receiver = reception.receiveData();
    await receiver.write(Buffer.from("Subject: one\r\n\r\ntext\r\n"));
    expect(await reception.endOfData(session, receiver, "ESMTP")).toMatchObject({ code: 250 });
    expect(spool.counts().messages).toBe(1);
    expect(log.of("queue.failed")).toMatchObject([{ fields: { reason: "oops" } }]);
  });
});
