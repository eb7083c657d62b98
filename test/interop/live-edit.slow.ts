/** The main job, as an admin lives it: a script edits mail; saving an edit makes it live for the next message; a broken edit never goes live. */
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Site } from "../support/site.ts";
import { type Reply, SmtpClient } from "../support/smtp-client.ts";

const tagging = (tag: string) => `import type { ArrivalHandler } from "onarrival";

export const onArrival: ArrivalHandler = (mail) => {
  if (mail.headers.has("X-Unwanted")) return mail.refuse("We do not want this");
  mail.subject = \`[${tag}] \${mail.subject}\`;
};
`;

let site: Site | undefined;
beforeAll(async () => {
  site = await Site.start({ scripts: { "tag.ts": tagging("one") } });
});
afterAll(() => site?.remove());

test("a script's life: live at start, refusing, edited, broken, repaired by rename, deleted", {
  timeout: 60_000,
}, async () => {
  const script = join(site!.scriptsFolder, "tag.ts");
  expect(await subjectOf("one")).toBe("[one] one");

  const refused = await send("refused", "X-Unwanted: yes\r\n");
  expect(refused.lines).toEqual(["550 5.7.1 We do not want this"]);

  writeFileSync(script, tagging("two"));
  const liveMs = await becomes("two", "[two] two");
  process.stdout.write(`saved edit live after ${Math.round(liveMs)} ms\n`);

  writeFileSync(script, tagging("three").replace("mail.subject =", "mail.subject = ="));
  const told = await site!.logged((line) => JSON.stringify(line).includes("scripts/tag.ts:"), "about the broken edit");
  expect(JSON.stringify(told)).toMatch(/scripts\/tag\.ts:5:\d+/);
  expect(await subjectOf("broken")).toBe("[two] broken");
  const list = await site!.cli(["scripts", "list"]);
  expect(list.status).toBe(0);
  expect(list.stdout).toMatch(/tag\.ts.*broken|broken.*tag\.ts/s);

  const aside = join(site!.folder, "aside.ts");
  writeFileSync(aside, tagging("four"));
  renameSync(aside, script);
  await becomes("four", "[four] four");

  rmSync(script);
  await becomes("gone", "gone");
  expect((await send("unwanted", "X-Unwanted: yes\r\n")).code).toBe(250);
});

/** Sends until the subject arrives as wanted. Gives the time to the first such message. */
async function becomes(subject: string, wanted: string): Promise<number> {
  const began = performance.now();
  for (;;) {
    const got = await subjectOf(subject);
    if (got === wanted) return performance.now() - began;
    if (performance.now() - began > 5_000) throw new Error(`Still "${got}" 5 s after the change, expected "${wanted}"`);
    await sleep(20);
  }
}

let count = 0;

async function subjectOf(subject: string): Promise<string | undefined> {
  const user = `u${count}`;
  const reply = await send(subject);
  if (reply.code !== 250) throw new Error(`Not accepted: ${reply.lines.join(" / ")}`);
  const [file] = await site!.delivered(user);
  return /^Subject: (.*)\r$/m.exec(readFileSync(file!, "latin1"))?.[1];
}

async function send(subject: string, fields = ""): Promise<Reply> {
  const client = await SmtpClient.connect(site!.smtpPort);
  try {
    const data = Buffer.from(`From: <sender@example.org>\r\nSubject: ${subject}\r\n${fields}\r\ntext\r\n`);
    return await client.send({ from: "sender@example.org", to: [`u${count++}@example.test`], data });
  } finally {
    await client.quit();
  }
}
