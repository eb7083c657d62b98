/** A listener that has to close before it knows what becomes of a message. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import { startLibraryListener } from "../../../src/inbound/library-engine.ts";
import type { ListenerOptions } from "../../../src/inbound/listener.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { BadMail } from "../../../src/spool/badmail.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createBinding } from "../../support/events.ts";

test.each([
  ["library", startLibraryListener],
  ["native", startNativeListener],
])(
  "the %s engine says nothing to a client whose message may still be taken: 421 would deny it",
  async (_engine, start) => {
    const dispatcher = new Dispatcher({
      log: silentLog,
      clock: systemClock,
      scripts: { run: () => Promise.reject(new Error("none")) },
    });
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const hold = async () => {
      asked.resolve();
      await gate.promise;
    };
    dispatcher.replaceBindings([createBinding("onArrival", hold)]);
    const options: ListenerOptions = {
      name: "mx",
      address: "127.0.0.1",
      port: 0,
      role: "mx",
      hostname: "mx.example.test",
      limits: {
        sizeOctetsMax: 100_000,
        recipientsMax: 100,
        connectionsMax: 100,
        connectionsPerClientMax: 3,
        idleTimeoutMs: 60_000,
      },
      lineEnds: "refuse",
    };
    const taken = Promise.withResolvers<void>();
    const reception = new Reception(options, {
      dispatcher,
      spool: createMemorySpool(),
      badmail: new BadMail("/nowhere"),
      clock: systemClock,
      log: silentLog,
      postmasterDomain: "example.test",
      enqueue: () => taken.resolve(),
    });
    const listener = await start(options, reception, { clock: systemClock, log: silentLog });
    const socket = connect(listener.port, "127.0.0.1");
    let heard = "";
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const said = new Map([
      ["220 ", "EHLO c\r\n"],
      ["250 ", "MAIL FROM:<a@b.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"],
      ["354 ", "Subject: one\r\n\r\ntext\r\n.\r\n"],
    ]);
    socket.on("data", (chunk) => {
      heard += chunk.toString();
      for (const [reply, words] of said) {
        if (!new RegExp(`^${reply}`, "m").test(heard)) continue;
        said.delete(reply);
        socket.write(words);
      }
    });
    socket.on("error", () => {});
    await asked.promise;
    await listener.close(20);
    await closed;
    expect(heard).toMatch(/\r\n354 [^\r]*\r\n$/);
    gate.resolve();
    await taken.promise;
  },
);
