/** `onarrival test --all`, and `--answers`, `--record` with `onarrival replay`: seen from the commands' own results. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { replay } from "../../../src/cli/replay.ts";
import { test as runTest } from "../../../src/cli/test.ts";
import { type TestAllFlags, testAll } from "../../../src/cli/test-all.ts";
import { recordTerminal } from "../../support/terminal.ts";

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "test-all-"));
  write("scripts/a.test/x.eml", "From: Ann <ann@example.org>\nTo: bob@example.test\nSubject: Hello\n\nHi.\n");
  write("scripts/a.ts", setting("yes"));
});
afterEach(() => rmSync(cwd, { recursive: true }));

const setting = (value: string) =>
  `export const onArrival = (mail) => mail.headers.set("X-A", ${JSON.stringify(value)});\n`;

function write(path: string, text: string): void {
  mkdirSync(join(cwd, path, ".."), { recursive: true });
  writeFileSync(join(cwd, path), text);
}

const read = (path: string) => JSON.parse(readFileSync(join(cwd, path), "utf8")) as unknown;

async function all(scripts: readonly string[], flags: TestAllFlags = {}) {
  const context = recordTerminal({ cwd });
  const status = await testAll(scripts, flags, context);
  return { status, out: context.outText(), err: context.errText() };
}

const asking = `export const grants = { http: ["https://directory.example.org"], kv: true, secrets: ["token"] };
export const onArrival = async (mail, { http, kv, secrets, log }) => {
  const answer = await http.get("https://directory.example.org/" + mail.envelope.to[0], { headers: { authorization: await secrets.get("token") } });
  log.info("seen", await kv.increment("seen"), Math.random(), Date.now());
  mail.headers.set("X-Key", await secrets.get("token"));
  if (answer.status !== 200) mail.refuse("Nobody here");
};
`;
const answers = {
  http: [
    { request: "GET https://directory.example.org/bob@example.test" },
    { request: "GET https://directory.example.org/*", status: 404 },
  ],
  secrets: { token: "s3cret-token" },
};

describe("onarrival test --all", () => {
  test("holds a message that nothing is expected of to having no fault", async () => {
    expect(await all([])).toMatchObject({ status: 0, out: "ok    scripts/a.ts: x\n", err: "1 of 1 test holds\n" });
    write("scripts/a.ts", "export const onArrival = () => { throw new Error('on purpose'); };\n");
    const { status, out } = await all([]);
    expect(status).toBe(1);
    expect(out).toContain("fails scripts/a.ts: x\n  scripts/a.ts:1:40: script.threw: on purpose\n");
  });

  test("compares with the part that is written down, and writes it anew with --update", async () => {
    write("scripts/a.test/x.expected.json", JSON.stringify({ changes: { fields: [{ after: "no" }] } }));
    const { status, out } = await all(["scripts/a.ts"]);
    expect(status).toBe(1);
    expect(out).toBe('fails scripts/a.ts: x\n  changes.fields[0].after\n    expected "no"\n    found    "yes"\n');
    expect(await all(["scripts/a.ts"], { update: true })).toMatchObject({ status: 0, out: "wrote scripts/a.ts: x\n" });
    expect(read("scripts/a.test/x.expected.json")).toEqual({ changes: { fields: [{ after: "yes" }] } });
    expect(await all(["scripts/a.ts"])).toMatchObject({ status: 0 });
  });

  test("writes all there is to expect where nothing is written down", async () => {
    await all([], { update: true });
    expect(read("scripts/a.test/x.expected.json")).toMatchObject({ file: "x.eml", matched: true, fault: null });
  });

  test("gives what is written down, and says which answer is missing", async () => {
    write("scripts/a.ts", asking);
    write("scripts/a.test/x.answers.json", JSON.stringify(answers));
    write("scripts/a.test/y.eml", "From: ann@example.org\nTo: carla@example.test\n\n");
    write("scripts/a.test/y.json", JSON.stringify({ answers: { secrets: { token: "x" } } }));
    write(
      "scripts/a.test/x.expected.json",
      JSON.stringify({
        verdict: { kind: "proceed" },
        asked: [{ ask: "GET https://directory.example.org/bob@example.test" }, {}],
      }),
    );
    const { status, out } = await all([], { json: true });
    expect(status).toBe(1);
    const [x, y] = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(x).toMatchObject({ name: "x", ok: true, differences: [] });
    expect(y).toMatchObject({
      script: "scripts/a.ts",
      name: "y",
      ok: false,
      message:
        'script.no-answer: The test has no answer for GET https://directory.example.org/carla@example.test: it belongs under "http" in y.answers.json',
    });
  });

  test("is the same every time: clock and chance stand still", async () => {
    write(
      "scripts/a.ts",
      "export const onArrival = (mail, { log }) => log.info(Math.random(), new Date(), mail.id, mail.receivedAt);\n",
    );
    await all([], { update: true });
    expect(await all([])).toMatchObject({ status: 0 });
    expect(JSON.stringify(read("scripts/a.test/x.expected.json"))).toContain("2026-01-01T12:00:00.000Z");
  });

  test("runs every script of the folder, and names those without tests", async () => {
    write("scripts/b.ts", setting("b"));
    const { status, err } = await all([]);
    expect(status).toBe(0);
    expect(err).toContain("scripts/b.ts has no tests\n");
    await expect(all(["scripts/b.ts"])).rejects.toThrow(
      "There are no tests beside scripts/b.ts: expected scripts/b.test/",
    );
    await expect(all(["scripts/c.ts"])).rejects.toThrow("there is no such file");
  });

  test("takes a script that cannot be run for a test that fails", async () => {
    write("scripts/a.ts", "export const onArrival = (mail) => {\n  mail.subject = ;\n};\n");
    const { status, out } = await all([]);
    expect(status).toBe(1);
    expect(out).toContain("fails scripts/a.ts: the script\n  scripts/a.ts:2:18:");
  });

  test.each<[why: string, text: string, words: string]>([
    ["no test in it", "export {};\n", "There is no test in it"],
    ["what does not compile", "const x = ;\n", "scripts/a.test/a.test.ts:1:11:"],
    ["what throws at its top", 'throw new Error("early");\n', "early"],
    ["an import that is not there", 'import "./nothing.ts";\n', "Cannot import"],
    [
      "a test that asks for a network",
      'import { test } from "onarrival/test";\ntest("x", async () => { await fetch("https://example.org/"); });\n',
      "x",
    ],
    [
      "a run without a message",
      'import { run, test } from "onarrival/test";\ntest("x", async () => { await run(); });\n',
      "run takes a message",
    ],
    [
      "a setup with a word that is none",
      'import { mail, run, test } from "onarrival/test";\ntest("x", async () => { await run(mail({}), { form: "x" }); });\n',
      '"form" is none of',
    ],
    [
      "a test that never ends",
      'import { test } from "onarrival/test";\ntest("x", () => new Promise(() => {}));\n',
      "nothing will settle",
    ],
  ])("says of a test file with %s what is wrong, and goes on", async (_why, text, words) => {
    write("scripts/a.test/a.test.ts", text);
    const { status, out } = await all([]);
    expect(status).toBe(1);
    expect(out).toContain("ok    scripts/a.ts: x\n");
    expect(out).toContain(words);
  });

  test("refuses the module of tests to scripts", async () => {
    write("scripts/a.ts", 'import { test } from "onarrival/test";\nexport const onArrival = () => {};\ntest;\n');
    expect((await all([])).out).toContain("is for test files");
  });
});

describe("onarrival test --record, and onarrival replay", () => {
  const messages = () => ["scripts/a.ts", "scripts/a.test/x.eml"];

  async function replayed(files: readonly string[], script?: string) {
    const context = recordTerminal({ cwd });
    const status = await replay(files, { json: true, ...(script !== undefined && { script }) }, context);
    return {
      status,
      found: context
        .outText()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    };
  }

  async function record(): Promise<string> {
    write("scripts/a.ts", asking);
    write("answers.json", JSON.stringify(answers));
    const context = recordTerminal({ cwd });
    expect(await runTest(messages(), { json: true, answers: "answers.json", record: "records" }, context)).toBe(0);
    expect(JSON.parse(context.outText())).toMatchObject({
      asked: [{ ask: "GET https://directory.example.org/bob@example.test" }, { ask: "kv.increment seen" }],
    });
    return readFileSync(join(cwd, "records", readdirSync(join(cwd, "records"))[0]!), "utf8");
  }

  test("does the same, chance and clock and answers, and holds no secret", async () => {
    expect(await record()).not.toContain("s3cret-token");
    expect(await replayed(["records"])).toMatchObject({ status: 0, found: [{ same: true, differences: [] }] });
  });

  test("tells what another version does otherwise", async () => {
    await record();
    write(
      "other.ts",
      asking
        .replace('mail.headers.set("X-Key"', 'mail.headers.set("X-Other"')
        .replace("if (answer.status !== 200)", ""),
    );
    const { status, found } = await replayed(["records"], "other.ts");
    expect(status).toBe(1);
    expect(found[0]).toMatchObject({
      same: false,
      differences: [{ path: "[0].verdict.kind" }, {}, {}, { path: "[0].fields[0]" }],
    });
  });

  test("says where another version asks what was not asked", async () => {
    await record();
    write("scripts/a.ts", asking.replace('kv.increment("seen")', 'kv.increment("other")'));
    const { found } = await replayed(["records"], "scripts/a.ts");
    expect(JSON.stringify(found[0].differences)).toContain("script.replay-diverged");
  });

  test.each<[why: string, text: string, words: string]>([
    ["no JSON", "x", "it is no record of a run"],
    ["another JSON", "{}\n{}\n", "it is no record of a run"],
    ["a record of another edition", '{"onarrival":"run","format":99}\n{}\n', "it is of format 99"],
    ["half a record", '{"onarrival":"run","format":1}\n{}\n', "parts of the run are missing"],
  ])("refuses %s", async (_why, text, words) => {
    write("broken.json", text);
    await expect(replayed(["broken.json"])).rejects.toMatchObject({
      code: "script.record-invalid",
      message: expect.stringContaining(words),
    });
  });

  test("needs a record, and a script that ran in it", async () => {
    await expect(replayed(["nothing.json"])).rejects.toThrow("there is no such file or folder");
    mkdirSync(join(cwd, "empty"));
    await expect(replayed(["empty"])).rejects.toThrow("There is no record to replay");
  });

  test("a store without a file of answers is empty, and everything else wants one", async () => {
    write(
      "scripts/a.ts",
      `export const grants = { kv: true, dns: true };
export const onArrival = async (mail, { kv, dns, log }) => { log.info(await kv.increment("n")); if (mail.subject === "x") await dns.mx("example.org"); };\n`,
    );
    write("mail/1.eml", "To: a@example.test\n\n");
    write("mail/2.eml", "To: a@example.test\nSubject: x\n\n");
    const context = recordTerminal({ cwd });
    expect(await runTest(["scripts/a.ts", "mail"], { json: true }, context)).toBe(1);
    const [one, two] = context
      .outText()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect([one.log[0].text, two.log[0].text]).toEqual(["1", "2"]);
    expect(two.fault).toMatchObject({
      code: "script.no-answer",
      message: expect.stringContaining('under "dns" in a file that is named with --answers'),
    });
    expect(existsSync(join(cwd, "records"))).toBe(false);
  });
});
