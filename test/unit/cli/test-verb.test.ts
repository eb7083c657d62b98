/** `onarrival test`: scripts on messages through the real sandbox, seen from the command's own result. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { test as runTest } from "../../../src/cli/test.ts";
import type { TestFlags } from "../../../src/cli/test-flags.ts";
import type { TestResult } from "../../../src/main-test-result.ts";
import { runCommand, startCommand } from "../../support/command.ts";
import { recordTerminal } from "../../support/terminal.ts";

const cwd = mkdtempSync(join(tmpdir(), "test-verb-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
mkdirSync(join(cwd, "scripts"));

function write(path: string, text: string): void {
  mkdirSync(join(cwd, path, ".."), { recursive: true });
  writeFileSync(join(cwd, path), text);
}

async function run(
  args: string[],
  flags: TestFlags = {},
): Promise<{ status: number; results: TestResult[]; out: string; err: string }> {
  const context = recordTerminal({ cwd });
  const status = await runTest(args, { json: true, ...flags }, context);
  const out = context.outText();
  return {
    status,
    out,
    err: context.errText(),
    results:
      flags.json === false
        ? []
        : out
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as TestResult),
  };
}

write("mail/hello.eml", "From: Ada <ada@example.com>\nTo: rob@example.test\nSubject: Hello\n\nHi.\n");
write("mail/null.eml", "Return-Path: <>\nSubject: Bounce\n\nfailed\n");
write(
  "scripts/tag.ts",
  'export const onArrival = (mail, { log }) => {\n  mail.subject = "[x] " + mail.subject;\n  log.info("seen", mail.id, mail.session.ip, mail.session.helo, mail.session.user, mail.session.listener);\n};\n',
);
write(
  "scripts/redirect.ts",
  'export const onArrival = (mail) => {\n  mail.envelope.from = null;\n  mail.envelope.redirect("all@example.org");\n  mail.settle();\n};\n',
);
write(
  "scripts/refuse.ts",
  'export const onArrival = (mail) => {\n  mail.subject = "never seen";\n  mail.refuse("Not here", { code: 554, status: "5.7.0" });\n};\n',
);
write(
  "scripts/quarantine.ts",
  'export const onArrival = (mail) => {\n  mail.headers.add("X-Spam", "yes");\n  mail.quarantine("spam");\n};\n',
);
write(
  "scripts/nobody.ts",
  "export const onArrival = (mail) => {\n  for (const address of mail.envelope.to) mail.envelope.remove(address);\n};\n",
);
write(
  "scripts/throws.ts",
  'export const onFault = "refuse";\nexport const onArrival = (mail) => {\n  mail.subject = "lost";\n  fail();\n};\nfunction fail() {\n  throw new Error("on purpose");\n}\n',
);
write("scripts/broken.ts", "export const onArrival = (mail) => {\n  mail.subject = ;\n};\n");
write("scripts/endless.ts", "export const onArrival = () => {\n  for (;;);\n};\n");
write("scripts/badrule.ts", 'export const rule = "RCPT OT=x";\nexport const onArrival = () => {};\n');
write("scripts/ruled.ts", 'export const rule = "USER=*";\nexport const onArrival = (mail) => mail.discard("seen");\n');
write("scripts/off.ts", 'export const enabled = false;\nexport const onArrival = (mail) => mail.discard("seen");\n');
write(
  "scripts/reads.ts",
  "export const onArrival = async (mail, { log }) => log.info((await mail.text()).trim(), mail.attachments.length);\n",
);

describe("onarrival test", () => {
  test("prints one object for each message, in the shape of the contract", async () => {
    const { status, results } = await run(["scripts/tag.ts", "mail/hello.eml"]);
    expect(status).toBe(0);
    expect(results).toEqual([
      {
        file: "mail/hello.eml",
        script: "scripts/tag.ts",
        version: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
        event: "onArrival",
        matched: true,
        envelope: { from: "ada@example.com", to: ["rob@example.test"] },
        verdict: { kind: "proceed", settled: false },
        changes: {
          envelope: { added: [], removed: [] },
          fields: [{ op: "set", name: "Subject", before: "Hello", after: "[x] Hello" }],
          parts: [],
        },
        submissions: [],
        log: [
          {
            level: "info",
            text: "seen TEST000000000001 192.0.2.1 client.example.com null mx",
            at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
          },
        ],
        usage: { cpuMs: expect.any(Number), wallMs: expect.any(Number), heapKiB: expect.any(Number) },
        defects: [],
        fault: null,
      },
    ]);
  });

  test.each<[why: string, script: string, flags: TestFlags, wanted: object, status: number]>([
    [
      "an envelope that changed",
      "redirect",
      {},
      {
        verdict: { kind: "proceed", settled: true },
        changes: {
          envelope: { from: null, added: ["all@example.org"], removed: ["rob@example.test"] },
          fields: [],
          parts: [],
        },
      },
      0,
    ],
    [
      "a refusal, whose edits come to nothing",
      "refuse",
      {},
      {
        verdict: { kind: "refuse", code: 554, status: "5.7.0", text: "Not here", settled: false },
        changes: { fields: [] },
      },
      0,
    ],
    [
      "a quarantine, whose edits are kept",
      "quarantine",
      {},
      {
        verdict: { kind: "quarantine", text: "spam" },
        changes: { fields: [{ op: "add", name: "X-Spam", after: "yes" }] },
      },
      0,
    ],
    ["a message nobody gets", "nobody", {}, { verdict: { kind: "discard", text: "no recipient is left" } }, 0],
    [
      "a fault, with its place, and what onFault makes of it",
      "throws",
      {},
      {
        verdict: { kind: "refuse", code: 550 },
        changes: { fields: [] },
        fault: {
          code: "script.threw",
          message: expect.stringContaining("on purpose"),
          at: "scripts/throws.ts:7:9",
          stack: expect.stringContaining("scripts/throws.ts:4:3"),
        },
      },
      1,
    ],
    [
      "a script that does not compile",
      "broken",
      {},
      {
        matched: false,
        version: null,
        verdict: { kind: "proceed" },
        fault: { code: "script.compile", at: "scripts/broken.ts:2:18" },
      },
      1,
    ],
    [
      "a rule that cannot be read",
      "badrule",
      {},
      { matched: false, fault: { code: "script.exports", message: expect.stringContaining("RCPT") } },
      1,
    ],
    [
      "a loop, stopped by the limit of the configuration",
      "endless",
      { set: ["scripts.limits.cpu=100ms"] },
      { verdict: { kind: "defer", code: 451 }, fault: { code: "script.cpu-limit" } },
      1,
    ],
    ["a rule that fails", "ruled", {}, { matched: false, verdict: { kind: "proceed" }, fault: null }, 0],
    [
      "a rule that holds for the user given",
      "ruled",
      { user: "ada" },
      { matched: true, verdict: { kind: "discard", text: "seen" } },
      0,
    ],
    [
      "a script that is switched off, tested all the same",
      "off",
      {},
      { matched: true, verdict: { kind: "discard" } },
      0,
    ],
    [
      "the envelope given",
      "ruled",
      { from: "<>", to: ["x@example.org", "<y@example.org>"] },
      { envelope: { from: null, to: ["x@example.org", "y@example.org"] } },
      0,
    ],
    [
      "the session given",
      "tag",
      { ip: "::1", helo: "me", user: "u", listener: "mx" },
      { log: [{ text: "seen TEST000000000001 ::1 me u mx" }] },
      0,
    ],
  ])("shows %s", async (_why, script, flags, wanted, status) => {
    const result = await run([`scripts/${script}.ts`, "mail/hello.eml"], flags);
    expect(result.results).toHaveLength(1);
    expect(result.results[0]).toMatchObject(wanted);
    expect(result.status).toBe(status);
  });

  test("gives a result for whatever octets there are", async () => {
    write("odd/empty.eml", "");
    write("odd/garbage.eml", "\u0000\u0001 no header\n\nContent-Type: multipart/mixed; boundary=");
    write(
      "odd/open.eml",
      'From: a@example.com\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain; charset=nonsense\nContent-Transfer-Encoding: base64\n\n!!!!\n--b\nContent-Type: message/rfc822\n\n--b',
    );
    const { results, status } = await run(["scripts/reads.ts", "odd"]);
    expect(status).toBe(0);
    expect(results.map(({ file, fault }) => [file, fault])).toEqual([
      ["odd/empty.eml", null],
      ["odd/garbage.eml", null],
      ["odd/open.eml", null],
    ]);
    expect(results[1]!.defects).toContain("the message holds NUL: a listener refuses it before any script is asked");
  });

  test("counts a folder's results on standard error, and fails where one faulted", async () => {
    const { status, err, results } = await run(["scripts/throws.ts", "mail"]);
    expect([status, results.length, err]).toEqual([1, 2, "2 messages: 2 refuse; 2 faults\n"]);
  });

  test("reads standard input for -", async () => {
    const { out, status } = await runCommand(["test", "scripts/tag.ts", "-", "--json"], {
      cwd,
      stdin: "Subject: piped\n\nx\n",
    });
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ file: "-", changes: { fields: [{ after: "[x] piped" }] } });
  });

  test("writes each message as it would be spooled, and none that would not be", async () => {
    await run(["scripts/tag.ts", "mail/hello.eml"], { output: "spooled" });
    expect(readFileSync(join(cwd, "spooled/0001-hello.eml"), "utf8")).toBe(
      "From: Ada <ada@example.com>\r\nTo: rob@example.test\r\nSubject: [x] Hello\r\n\r\nHi.\r\n",
    );
    await run(["scripts/refuse.ts", "mail/hello.eml"], { output: "refused" });
    expect(existsSync(join(cwd, "refused"))).toBe(false);
  });

  test("writes what it expects, holds to it, and tells a difference", async () => {
    const expected = join(cwd, "tag.expected.json");
    await expect(run(["scripts/tag.ts", "mail/hello.eml"], { expect: "tag.expected.json" })).rejects.toThrow(
      "there is no such file",
    );
    expect(
      await run(["scripts/tag.ts", "mail/hello.eml"], { expect: "tag.expected.json", update: true }),
    ).toMatchObject({ status: 0, err: "wrote tag.expected.json\n" });
    expect(await run(["scripts/tag.ts", "mail/hello.eml"], { expect: "tag.expected.json" })).toMatchObject({
      status: 0,
      err: "as expected by tag.expected.json\n",
    });
    writeFileSync(expected, readFileSync(expected, "utf8").replace("[x] Hello", "[y] Hello"));
    const differing = await run(["scripts/tag.ts", "mail/hello.eml"], { expect: "tag.expected.json", json: false });
    expect(differing.status).toBe(1);
    expect(differing.out).toContain(
      'differs from tag.expected.json\n  changes.fields[0].after\n    expected "[y] Hello"\n    found    "[x] Hello"\n',
    );
  });

  test("compares a list with as many messages, and says where there are more", async () => {
    const flags = { expect: "both.expected.json" };
    await run(["scripts/tag.ts", "mail"], { ...flags, update: true });
    expect((await run(["scripts/tag.ts", "mail"], flags)).status).toBe(0);
    await expect(run(["scripts/tag.ts", "mail/hello.eml"], flags)).rejects.toThrow(
      "both.expected.json is about 2 messages, and 1 were tested",
    );
  });

  test("takes a fault that is expected for what it is, and one that is not for a difference", async () => {
    await run(["scripts/throws.ts", "mail/hello.eml"], { expect: "throws.expected.json", update: true });
    expect((await run(["scripts/throws.ts", "mail/hello.eml"], { expect: "throws.expected.json" })).status).toBe(0);
    expect((await run(["scripts/tag.ts", "mail/hello.eml"], { expect: "throws.expected.json" })).status).toBe(1);
  });

  test("asks the whole list with --pipeline, native sinks and the server's own included", async () => {
    write(
      "pipe/scripts/a.ts",
      'export const priority = 200;\nexport const onArrival = (mail) => mail.headers.add("X-Script", mail.headers.get("X-Native") ?? "none");\n',
    );
    write("pipe/scripts/bad.ts", "not a script");
    write(
      "pipe/sink.ts",
      'export const mark = { name: "mark", onArrival({ message }) { message.header = message.header.add("X-Native", "first"); } };\n',
    );
    write(
      "pipe/onarrival.toml",
      '[[sinks]]\nmodule = "./sink.ts"\nexport = "mark"\nevent = "onArrival"\npriority = 100\n',
    );
    const { status, results } = await run(["mail/hello.eml"], { pipeline: true, config: "pipe/onarrival.toml" });
    expect(status).toBe(0);
    expect(results[0]).toMatchObject({
      script: "pipeline",
      version: null,
      matched: true,
      changes: {
        fields: [
          { op: "add", name: "X-Native", after: "first" },
          { op: "add", name: "X-Script", after: "first" },
        ],
      },
    });
    const { out, err } = await run(["mail/hello.eml"], { pipeline: true, config: "pipe/onarrival.toml", json: false });
    expect(err).toMatch(/^left out scripts\/bad\.ts: it cannot run: .+\n$/);
    expect(out).toMatch(/sinks {5}mark {2}proceed\n {12}scripts\/a\.ts {2}proceed\n/);
  });

  test("tests again when the script is saved, also while it is broken", async () => {
    write("watched/scripts/s.ts", 'export const onArrival = (mail) => { mail.subject = "one"; };\n');
    const watching = startCommand(["test", "scripts/s.ts", "../mail/hello.eml", "--watch"], {
      cwd: join(cwd, "watched"),
    });
    await watching.until(/\+ Subject: one[\s\S]*$/);
    await watching.until("Watching");
    write("watched/scripts/s.ts", "export const onArrival = (mail) => {\n");
    await watching.until("script.compile");
    write("watched/scripts/s.ts", 'export const onArrival = (mail) => { mail.subject = "two"; };\n');
    await watching.until("+ Subject: two");
    watching.child.kill("SIGINT");
    expect((await watching.ended).status).toBe(130);
  });

  test.each<[why: string, args: string[], flags: TestFlags, words: string]>([
    [
      "a script that is not there",
      ["scripts/none.ts", "mail/hello.eml"],
      {},
      "Cannot read the script scripts/none.ts: there is no such file",
    ],
    [
      "a message that is not there",
      ["scripts/tag.ts", "none.eml"],
      {},
      "Cannot read none.eml: there is no such file or folder",
    ],
    ["a folder without mail", ["scripts/tag.ts", "scripts"], {}, "There is no message in scripts"],
    [
      "an address of the client that is none",
      ["scripts/tag.ts", "mail/hello.eml"],
      { ip: "1.2.3" },
      '--ip: expected an IPv4 or IPv6 address, not "1.2.3"',
    ],
    [
      "a reverse-path that is none",
      ["scripts/tag.ts", "mail/hello.eml"],
      { from: "nobody" },
      "--from: Cannot read the address",
    ],
    [
      "a recipient that is none",
      ["scripts/tag.ts", "mail/hello.eml"],
      { to: ["a@b", "@"] },
      "--to: Cannot read the address",
    ],
    ["a greeting of two words", ["scripts/tag.ts", "mail/hello.eml"], { helo: "a b" }, "expected one word"],
    [
      "a listener that is not configured",
      ["scripts/tag.ts", "mail/hello.eml"],
      { listener: "out" },
      'There is no listener "out": expected mx',
    ],
    [
      "an event that is none",
      ["scripts/tag.ts", "mail/hello.eml"],
      { event: "onArival" },
      'There is no event "onArival"',
    ],
    [
      "an event scripts cannot handle",
      ["scripts/tag.ts", "mail/hello.eml"],
      { event: "onCommand" },
      "Scripts cannot handle onCommand: expected onConnect or onHelo or",
    ],
  ])("refuses %s", async (_why, args, flags, words) => {
    await expect(run(args, flags)).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringContaining(words),
    });
  });

  test("leaves nothing behind", () => {
    expect(readdirSync(cwd)).not.toContain("data");
  });
});
