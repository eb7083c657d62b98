/** An entrance with all that stands behind it: a dispatcher, a spool in memory, badmail in a folder of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Binding } from "../../src/events/binding.ts";
import { Entrance, type EntranceOptions } from "../../src/inbound/entrance.ts";
import type { Message } from "../../src/mail/message.ts";
import { BadMail } from "../../src/spool/badmail.ts";
import { createMemorySpool } from "../../src/spool/memory.ts";
import { createFakeClock } from "./fake-clock.ts";
import { createDispatcher, createRoom } from "./listener.ts";
import { createRecordingLog } from "./recording-log.ts";

export function createEntrance(options: Partial<EntranceOptions> & { readonly bindings?: readonly Binding[] } = {}) {
  const { bindings = [], ...changed } = options;
  const folder = mkdtempSync(join(tmpdir(), "onarrival-entrance-"));
  const clock = createFakeClock();
  const log = createRecordingLog();
  const spool = createMemorySpool();
  const badmail = new BadMail(join(folder, "badmail"));
  const dispatcher = createDispatcher(log, clock);
  dispatcher.replaceBindings(bindings);
  const queued: Message[] = [];
  const entrance = new Entrance({
    dispatcher,
    spool,
    badmail,
    clock,
    log,
    hostname: "mx.example.test",
    sizeOctetsMax: 10_000,
    recipientsMax: 3,
    room: createRoom(),
    enqueue: (message) => void queued.push(message),
    ...changed,
  });
  const close = () => rmSync(folder, { recursive: true, force: true });
  return { entrance, folder, clock, log, spool, badmail, dispatcher, queued, close };
}

export type TestEntrance = ReturnType<typeof createEntrance>;
