/** RELIABILITY P1 and P3: no `250` is written before its syncs returned; shown on the running server, and with its trace doctored the check fails. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { Site } from "../support/site.ts";
import { expectReply, SmtpClient } from "../support/smtp-client.ts";
import { requireTool } from "../support/tools.ts";
import { type Answered, checkSyncOrder, straceArguments } from "./sync-order.ts";

describeWith(["strace"], "the server under strace", () => {
  test("writes no 250 before its syncs returned, for small and for large bodies", { timeout: 120_000 }, async () => {
    const answered: Answered[] = [];
    const site = await Site.start({
      under: [requireTool("strace"), ...straceArguments, "-o", "trace"],
      env: { UV_USE_IO_URING: "0" }, // Calls handed over by io_uring are seen by no trace.
    });
    let trace: string;
    try {
      const sessions = await Promise.all(Array.from({ length: 4 }, () => SmtpClient.connect(site.smtpPort)));
      await Promise.all(
        sessions.map(async (client, session) => {
          for (let n = 0; n < 6; n++) answered.push(await sendOne(client, `marker-${session}-${n}`, n % 3 === 2));
          await client.quit();
        }),
      );
      await site.stop();
      trace = readFileSync(join(site.folder, "trace"), "latin1");
    } finally {
      await site.remove();
    }
    expect(answered.filter((message) => message.large)).toHaveLength(8);
    expect(checkSyncOrder(trace, answered, site.dataFolder)).toEqual([]);
    process.stdout.write(
      `${answered.length} replies of 250, each behind its syncs (${answered.filter((message) => message.large).length} with a body file)\n`,
    );

    // The same trace, doctored: had the server left out one kind of sync, the check would have said so for every message it concerns.
    const doctored = (gone: RegExp) => {
      const lines = trace.split("\n").filter((line) => !gone.test(line));
      return checkSyncOrder(lines.join("\n"), answered, site.dataFolder);
    };
    const violated = (violations: readonly string[]) => new Set(violations.map((line) => line.slice(0, 16))).size;
    const sync = "^\\d+ +(fsync|fdatasync)\\(\\d+<[^>]*";
    expect(violated(doctored(new RegExp(`${sync}-wal>`)))).toBe(answered.length);
    expect(violated(doctored(new RegExp(`${sync}/bodies/[^/>]+>`)))).toBe(8);
    expect(violated(doctored(new RegExp(`${sync}/bodies>`)))).toBe(8);
  });
});

async function sendOne(client: SmtpClient, marker: string, large: boolean): Promise<Answered> {
  const body = `${marker}\r\n${"line of text\r\n".repeat(large ? 30_000 : 100)}`;
  const data = Buffer.from(
    `From: <sender@example.org>\r\nSubject: ${marker}\r\nMessage-ID: <${marker}@client.example>\r\n\r\n${body}`,
  );
  const reply = expectReply(await client.send({ from: "sender@example.org", to: ["ada@example.test"], data }), 250);
  const id = /^2\.0\.0 queued as ([0-9A-Z]{16})$/.exec(reply.text)?.[1];
  if (id === undefined) throw new Error(`Cannot read the id in the reply: ${reply.lines.join(" / ")}`);
  return { id, marker, large };
}
