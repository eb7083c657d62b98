/** RELIABILITY P2 for what scripts make: messages made of one in hand are in custody with its 250, and not without it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Site } from "../support/site.ts";
import { SmtpClient } from "../support/smtp-client.ts";

const script = `export const rule = "RCPT TO=bob@example.test";
export const grants = { submit: { max: 3, to: ["example.test"] } };
export const onArrival = async (mail) => {
  mail.notes.seen = true;
  await mail.attach({ content: "x", fileName: "x.txt" });
  mail.submit({ to: "ann@example.test", subject: "made", text: "Made of " + mail.subject });
  mail.forward("carl@example.test");
  mail.fileInto("Kept");
};
`;

/** Sends one message; gives the last reply, or null where the connection broke. */
async function send(port: number): Promise<number | null> {
  const client = await SmtpClient.connect(port);
  try {
    const reply = await client.send({
      from: "ada@example.org",
      to: ["bob@example.test"],
      data: Buffer.from("From: ada@example.org\r\nSubject: one\r\n\r\nbody\r\n"),
    });
    return reply.code;
  } catch {
    return null;
  } finally {
    client.close();
  }
}

const start = (env: Readonly<Record<string, string>>) => Site.start({ scripts: { "make.ts": script }, env });

test("what a script made survives a kill behind the 250", { timeout: 60_000 }, async () => {
  const site = await start({});
  try {
    expect(await send(site.smtpPort)).toBe(250);
    await site.kill9();
    await site.up();
    const made = readFileSync((await site.delivered("ann"))[0]!, "utf8");
    const forwarded = readFileSync((await site.delivered("carl"))[0]!, "utf8");
    await site.drained();
    expect(made).toMatch(/^Subject: made\r?$/m);
    expect(made).toContain("Made of one");
    expect(forwarded).toContain('filename="x.txt"');
    expect([site.maildir("ann").length, site.maildir("carl").length]).toEqual([1, 1]);
  } finally {
    await site.remove();
  }
});

test.each([
  ["arrival.before-accept", 0],
  ["arrival.accepted", 1],
])("killed at %s it is there with its message, or neither is", { timeout: 60_000 }, async (point, count) => {
  const site = await start({ ONARRIVAL_CRASH_AT: `${point}:1` });
  try {
    expect(await send(site.smtpPort)).toBeNull();
    await site.ended(10_000);
    site.setEnvironment({});
    await site.up();
    await site.drained();
    expect([site.maildir("ann").length, site.maildir("carl").length]).toEqual([count, count]);
  } finally {
    await site.remove();
  }
});
