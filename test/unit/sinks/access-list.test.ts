import { mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createMessage } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { context, createSession, kindOf, mailFrom, makeSink, rcptTo } from "./subjects.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});
async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "access-"));
  folders.push(folder);
  return folder;
}

describe("access-list", () => {
  type Row = [why: string, properties: Record<string, unknown>, subject: ReturnType<typeof rcptTo>, kind: string];
  const from = (sender: string) => rcptTo({ from: sender });
  const at = (facts: Parameters<typeof createSession>[0]) => rcptTo({}, createSession(facts));
  test.each<Row>([
    ["nothing that matches", { deny_senders: ["eve@junk.example"] }, from("ann@example.org"), "proceed"],
    ["a sender", { deny_senders: ["eve@junk.example"] }, from("EVE@junk.example"), "refuse"],
    ["a sender's domain", { deny_senders: ["*@junk.example"] }, from("anybody@junk.example"), "refuse"],
    ["no domain below it", { deny_senders: ["@junk.example"] }, from("anybody@sub.junk.example"), "proceed"],
    ["domains below it", { deny_senders: ["*.junk.example"] }, from("anybody@sub.junk.example"), "refuse"],
    ["the beginning of a local part", { deny_senders: ["info*@*"] }, from("info-7@example.org"), "refuse"],
    ["the null reverse-path", { deny_senders: ["<>"] }, from("<>"), "refuse"],
    ["everybody but the null reverse-path", { deny_senders: ["*@junk.example"] }, from("<>"), "proceed"],
    ["a recipient", { deny_recipients: ["bob@example.test"] }, rcptTo({ to: "Bob@EXAMPLE.test" }), "refuse"],
    ["an address", { deny_clients: ["192.0.2.7"] }, at({ ip: "192.0.2.7" }), "refuse"],
    ["an address in its IPv6 form", { deny_clients: ["192.0.2.7"] }, at({ ip: "::ffff:192.0.2.7" }), "refuse"],
    ["an IPv6 address written otherwise", { deny_clients: ["2001:db8:0::1"] }, at({ ip: "2001:db8::1" }), "refuse"],
    ["a block", { deny_clients: ["192.0.2.0/24"] }, at({}), "refuse"],
    ["another block", { deny_clients: ["198.51.100.0/24"] }, at({}), "proceed"],
    ["every client", { deny_clients: ["*"] }, at({}), "refuse"],
    ["a HELO name", { deny_helos: ["bad.example"] }, at({ helo: "BAD.example" }), "refuse"],
    ["a HELO pattern", { deny_helos: ["*.dyn.example"] }, at({ helo: "h1.dyn.example" }), "refuse"],
    ["no HELO at all", { deny_helos: ["*"] }, at({ helo: "" }), "proceed"],
    [
      "who is allowed as well",
      { deny_senders: ["*@junk.example"], allow_recipients: ["postmaster@*"] },
      rcptTo({ from: "eve@junk.example", to: "postmaster@example.test" }),
      "proceed",
    ],
    ["with a deferral", { deny_clients: ["192.0.2.7"], on_deny: "defer" }, at({}), "defer"],
    ["with the end of the connection", { deny_clients: ["192.0.2.7"], on_deny: "drop" }, at({}), "drop"],
  ])("denies %s: %#", async (_why, properties, subject, kind) => {
    const sink = await makeSink("access-list", properties);
    expect(sink.onRcptTo!(subject, context)).toMatchObject({ kind });
  });

  test("settles where it is told to", async () => {
    const sink = await makeSink("access-list", { allow_clients: ["192.0.2.7"], on_allow: "settle" });
    expect(sink.onRcptTo!(rcptTo(), context)).toMatchObject({ kind: "proceed", settled: true });
  });

  test("judges by what is known: a client at the greeting, a name at HELO, a sender at MAIL", async () => {
    const sink = await makeSink("access-list", {
      deny_clients: ["198.51.100.1"],
      deny_helos: ["bad.example"],
      deny_senders: ["*@junk.example"],
      text: "Go away",
    });
    const session = createSession({ helo: "" });
    expect(await kindOf(sink.onConnect!({ session, setBanner() {} }, context))).toBe("proceed");
    const listed = createSession({ ip: "198.51.100.1" });
    expect(await sink.onConnect!({ session: listed, setBanner() {} }, context)).toMatchObject({ text: "Go away" });
    const helo = { session, verb: "EHLO" as const, name: "bad.example", keywords: [], offer() {}, hide() {} };
    expect(await kindOf(sink.onHelo!(helo, context))).toBe("refuse");
    expect(await kindOf(sink.onMailFrom!(mailFrom("eve@junk.example", session), context))).toBe("refuse");
    expect(await kindOf(sink.onMailFrom!(mailFrom("ann@example.org", session), context))).toBe("proceed");
  });

  test.each(["quarantine", "discard"])("%s is for messages: it has a handler for onArrival alone", async (onDeny) => {
    const sink = await makeSink("access-list", { deny_recipients: ["eve@*"], on_deny: onDeny, text: "listed" });
    expect(sink.onRcptTo).toBeUndefined();
    const to = (...recipients: string[]) => ({ message: createMessage("Subject: x\n\n", { to: recipients }) });
    expect(await sink.onArrival!(to("bob@example.test", "eve@example.test"), context)).toMatchObject({
      kind: onDeny,
      reason: "listed",
    });
    expect(await kindOf(sink.onArrival!(to("bob@example.test"), context))).toBe("proceed");
  });

  test.each([
    ["no list", {}, /there is no list/],
    ["an address that is none", { deny_clients: ["192.0.2.300"] }, /deny_clients: "192.0.2.300": expected an IP/],
    ["a sender without domain", { deny_senders: ["eve"] }, /deny_senders: "eve": expected an "@"/],
    ["a file that is not there", { deny_senders: ["./nowhere.txt"] }, /deny_senders: Cannot read .*nowhere.txt/],
    ["a list that is none", { deny_senders: "eve@*" }, /deny_senders: expected a list/],
  ])("takes no %s", async (_why, properties, message) => {
    await expect(makeSink("access-list", properties)).rejects.toMatchObject({
      code: "sink.properties",
      message: expect.stringMatching(message) as string,
    });
  });
});

describe("files of an access-list", () => {
  const ask = async (sink: Awaited<ReturnType<typeof makeSink>>, sender: string) =>
    kindOf(sink.onRcptTo!(rcptTo({ from: sender }), context));

  test("hold a pattern a line, with comments, from the configuration's folder", async () => {
    const folder = await makeFolder();
    await writeFile(
      join(folder, "list"),
      "# junk\n\n*@junk.example # since May\r\n  #odd@example.org\na#b@example.org\n",
    );
    const sink = await makeSink("access-list", { deny_senders: ["./list"] }, { configFolder: folder });
    expect(await ask(sink, "x@junk.example")).toBe("refuse");
    expect(await ask(sink, "a#b@example.org")).toBe("refuse");
    expect(await ask(sink, "#odd@example.org")).toBe("proceed");
  });

  test("with bad lines make the sink broken, each with its place", async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, "list"), "ok@junk.example\nbad\n\nworse@@x\n");
    await expect(makeSink("access-list", { deny_senders: ["./list"] }, { configFolder: folder })).rejects.toMatchObject(
      { message: expect.stringMatching(/list:2: .*list:4: /s) as string },
    );
  });

  test.each([
    ["at", 0, true],
    ["above", 1, false],
  ])("are read %s 16 MiB: %#", async (_why, more, isRead) => {
    const file = join(await makeFolder(), "list");
    const pattern = "one@junk.example\n";
    await writeFile(file, `${pattern}#${"x".repeat(16 * 1024 * 1024 - pattern.length - 1 + more)}`);
    const made = makeSink("access-list", { deny_senders: [file] });
    if (isRead) expect(await ask(await made, "one@junk.example")).toBe("refuse");
    else await expect(made).rejects.toMatchObject({ code: "sink.properties" });
  });

  test("that change are read again; a bad change leaves what was there, and is told once", async () => {
    const folder = await makeFolder();
    const file = join(folder, "list");
    const clock = createFakeClock();
    const log = createRecordingLog();
    let seconds = 1_700_000_000;
    const write = async (text: string) => {
      await writeFile(file, text);
      await utimes(file, ++seconds, seconds);
    };
    await write("one@junk.example\n");
    const sink = await makeSink("access-list", { deny_senders: [file] }, { clock, log });
    await write("two@junk.example\n");
    await clock.advance(1_999);
    expect(await ask(sink, "two@junk.example")).toBe("proceed");
    await clock.advance(1);
    expect(await ask(sink, "two@junk.example")).toBe("refuse");
    expect(await ask(sink, "one@junk.example")).toBe("proceed");

    await write("three@junk.example\nbad\n");
    for (let i = 0; i < 3; i++) {
      await clock.advance(2_000);
      expect(await ask(sink, "two@junk.example")).toBe("refuse");
    }
    await rm(file);
    await clock.advance(2_000);
    expect(await ask(sink, "two@junk.example")).toBe("refuse");
    expect(log.of("access-list.file-broken").map(({ fields }) => String(fields.problems))).toEqual([
      expect.stringContaining("list:2:") as string,
      expect.stringContaining("Cannot read") as string,
    ]);
    await write("four@junk.example\n");
    await clock.advance(2_000);
    expect(await ask(sink, "four@junk.example")).toBe("refuse");
  });

  test("that cannot even be looked at leave what was there, and are told once", async () => {
    const folder = await makeFolder();
    const file = join(folder, "list");
    const clock = createFakeClock();
    const log = createRecordingLog();
    await writeFile(file, "one@junk.example\n");
    const sink = await makeSink("access-list", { deny_senders: [file] }, { clock, log });
    await rm(file);
    await symlink("list", file);
    for (let i = 0; i < 2; i++) {
      await clock.advance(2_000);
      expect(await ask(sink, "one@junk.example")).toBe("refuse");
    }
    expect(log.of("access-list.file-broken")).toHaveLength(1);
  });

  test("that are no files are not read", async () => {
    const folder = await makeFolder();
    const makes = makeSink("access-list", { deny_senders: ["/dev/zero", folder] });
    await expect(makes).rejects.toThrow(/\/dev\/zero is not a file.*is not a file/);
  });
});
