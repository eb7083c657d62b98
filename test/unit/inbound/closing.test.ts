/** A listener that has to close before it knows what becomes of a message. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { startLibraryListener } from "../../../src/inbound/library-engine.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createBinding } from "../../support/events.ts";
import { createDispatcher, createListenerOptions, createReceptionOptions } from "../../support/listener.ts";

test.each([
  ["library", startLibraryListener],
  ["native", startNativeListener],
])(
  "the %s engine says nothing to a client whose message may still be taken: 421 would deny it",
  async (_engine, start) => {
    const dispatcher = createDispatcher();
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const hold = async () => {
      asked.resolve();
      await gate.promise;
    };
    dispatcher.replaceBindings([createBinding("onArrival", hold)]);
    const options = createListenerOptions();
    const taken = Promise.withResolvers<void>();
    const reception = new Reception(
      options,
      createReceptionOptions({ dispatcher, postmasterDomain: "example.test", enqueue: () => taken.resolve() }),
    );
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
