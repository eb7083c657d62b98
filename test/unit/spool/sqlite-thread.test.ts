/** A spool whose thread dies behind a commit, before it could say so: nobody knows then what was taken, and nothing of it may go. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { expect, onTestFinished, test, vi } from "vitest";
import { silentLog } from "../../../src/platform/log.ts";
import { inlineBodyOctetsMax } from "../../../src/spool/spool.ts";
import { openSqliteSpool } from "../../../src/spool/sqlite.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

let dies = false;

vi.mock(import("node:worker_threads"), async (original) => {
  const threads = await original();
  class Mortal extends threads.Worker {
    override emit(event: string | symbol, ...given: unknown[]): boolean {
      const [message] = given as { readonly kind?: string }[];
      if (!dies || event !== "message" || message?.kind !== "results") return super.emit(event, ...given);
      void this.terminate();
      return true;
    }
  }
  return { ...threads, Worker: Mortal as typeof Worker };
});

test("openSqliteSpool keeps the body of a message that may have been committed", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thread-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const spool = await openSqliteSpool({ folder, log: silentLog });
  const writer = spool.createBody();
  await writer.write(Buffer.alloc(inlineBodyOctetsMax + 1, "x"));
  const message = createSampleMessage({ body: await writer.finish() });
  dies = true;
  await expect(spool.accept([message], 0)).rejects.toMatchObject({ code: "spool.failed" });
  await writer.discard();
  await spool.close();
  dies = false;
  expect(readdirSync(join(folder, "bodies"))).toHaveLength(1);
  const next = await openSqliteSpool({ folder, log: silentLog });
  const found = await next.load(message.id);
  expect(await readMessage(found!)).toHaveLength(message.sizeOctets);
  await next.close();
});
