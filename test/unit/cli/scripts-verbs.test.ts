/** `onarrival scripts …`: its routes, its verbs through the real argument parser, and what people see. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { compileScript, stopCompiler } from "../../../sandbox/compile.ts";
import type { ControlServer } from "../../../src/admin/control.ts";
import { createScriptsApi } from "../../../src/admin/scripts-control.ts";
import { formatQueueItem } from "../../../src/cli/queue-listing.ts";
import { findScript } from "../../../src/cli/script-names.ts";
import { formatScripts } from "../../../src/cli/scripts.ts";
import { approveScript } from "../../../src/cli/scripts-change.ts";
import { formatScript } from "../../../src/cli/scripts-show.ts";
import { unifiedDiff } from "../../../src/cli/unified-diff.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { VersionStore } from "../../../src/scripting/versions.ts";
import { deferredItem } from "../../support/operator-controls.ts";
import { createOperatorSite } from "../../support/operator-site.ts";
import { fakeScriptsControl, scriptView } from "../../support/scripts-control.ts";
import { fakeServerView } from "../../support/server-view.ts";
import { plainOutput, taggedOutput } from "../../support/terminal.ts";

const nowMs = Date.parse("2026-11-02T09:40:00Z");
const pending = {
  version: `sha256:${"ef".repeat(32)}`,
  time: "2026-11-02T09:30:00.000Z",
  added: ["kv", "dns\u001b[31m"],
};
const waiting = scriptView({
  name: "scripts/wait.ts",
  state: "pending",
  pending,
  lastFault: { code: "grant.pending", message: "Waits for approval", at: null, time: pending.time },
});

let site: ReturnType<typeof createOperatorSite>;
let server: ControlServer | undefined;
const serve = async () => {
  server = await site.serve();
};
beforeEach(() => {
  site = createOperatorSite({ view: fakeServerView({ scripts: () => [scriptView(), waiting] }) });
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  site.remove();
});

afterAll(stopCompiler);

describe("createScriptsApi", () => {
  const ask = async (method: string, path: string, body?: unknown, control = fakeScriptsControl()) => {
    const response = await createScriptsApi(control).request(path, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, answer: await response.json(), asked: control.asked };
  };
  const at = "/api/v1/scripts";

  test.each<[why: string, method: string, path: string, body: unknown, asked: unknown[]]>([
    [
      "back to the one before",
      "POST",
      "/rollback",
      { script: "scripts/a.ts" },
      ["rollback", "scripts/a.ts", null, null],
    ],
    [
      "back to one, by somebody",
      "POST",
      "/rollback",
      { script: "scripts/a.ts", version: "abcd", author: "ann" },
      ["rollback", "scripts/a.ts", "abcd", "ann"],
    ],
    ["the end of that", "POST", "/unpin", { script: "scripts/a.ts", author: "ann" }, ["unpin", "scripts/a.ts", "ann"]],
    [
      "an approval",
      "POST",
      "/approve",
      { script: "scripts/a.ts", version: "sha256:ab" },
      ["approve", "scripts/a.ts", "sha256:ab", null],
    ],
    [
      "a page of keys",
      "GET",
      "/store/keys?script=scripts/a.ts&prefix=c&limit=2",
      undefined,
      ["list", "scripts/a.ts", { prefix: "c", after: "", limit: 2 }],
    ],
    [
      "a value for an hour",
      "PUT",
      "/store/value?script=scripts/a.ts&key=k",
      { value: { a: null }, ttlS: 3_600 },
      ["set", "scripts/a.ts", "k", { a: null }, { ttlS: 3_600 }],
    ],
    ["all of it", "DELETE", "/store/keys?script=scripts/a.ts", undefined, ["clear", "scripts/a.ts"]],
  ])("%s", async (_why, method, path, body, asked) => {
    expect(await ask(method, `${at}${path}`, body)).toMatchObject({ status: 200, asked: [asked] });
  });

  test.each<[why: string, method: string, path: string, body: unknown]>([
    ["no script", "POST", "/rollback", {}],
    ["two lines for a script", "POST", "/unpin", { script: "a\nb" }],
    ["a script that is no name", "POST", "/unpin", { script: 7 }],
    ["an author of 201 characters", "POST", "/unpin", { script: "a", author: "x".repeat(201) }],
    ["an approval of anything", "POST", "/approve", { script: "scripts/a.ts" }],
    ["no key", "GET", "/store/value?script=a", undefined],
    ["a key of 513 characters", "GET", `/store/value?script=a&key=${"k".repeat(513)}`, undefined],
    ["no value", "PUT", "/store/value?script=a&key=k", {}],
    ["no time", "PUT", "/store/value?script=a&key=k", { value: 1, ttlS: 0 }],
    ["too many keys", "GET", "/store/keys?script=a&limit=1001", undefined],
  ])("%s is refused", async (_why, method, path, body) => {
    expect(await ask(method, `${at}${path}`, body)).toMatchObject({
      status: 400,
      asked: [],
      answer: { code: "control.invalid" },
    });
  });

  test("a fault is told with its code", async () => {
    const control = fakeScriptsControl({
      unpin: () => Promise.reject(new Fault("script.no-version", "There is none")),
    });
    const { status, answer } = await ask("POST", `${at}/unpin`, { script: "scripts/a.ts" }, control);
    expect([status, answer]).toEqual([500, { error: "There is none", code: "script.no-version" }]);
  });
});

describe("findScript", () => {
  const names = ["scripts/a.ts", "scripts/lib/a.ts", "scripts/tag.ts", "scripts/tag.js"];
  test.each<[why: string, text: string, found: string | RegExp]>([
    ["the whole name", "scripts/a.ts", "scripts/a.ts"],
    ["a path", "./scripts/a.ts", "scripts/a.ts"],
    ["without the folder", "lib/a.ts", "scripts/lib/a.ts"],
    ["without its ending", "a", "scripts/a.ts"],
    ["one of two", "tag", /scripts\/tag\.ts or scripts\/tag\.js/],
    ["none", "other", /There is no script "other"/],
  ])("%s", (_why, text, found) => {
    if (typeof found === "string") expect(findScript(text, names)).toBe(found);
    else expect(() => findScript(text, names)).toThrow(found);
  });

  test("says which one was probably meant", () => {
    expect(() => findScript("script/a.ts", names)).toThrow(
      expect.objectContaining({ hint: "Did you mean scripts/a.ts?" }),
    );
  });
});

describe("verbs that ask the server", () => {
  test("rollback says what runs, and until when", async () => {
    await serve();
    const { status, out } = await site.run("scripts", "rollback", "a", "cdcd", "--author", "ann");
    expect([status, out]).toEqual([0, expect.stringMatching(/^scripts\/a\.ts runs cdcdcdc, whatever its file says; /)]);
    expect(site.scripts.asked).toEqual([["rollback", "scripts/a.ts", "cdcd", "ann"]]);
    const json = await site.run("scripts", "rollback", "a", "--json");
    expect(JSON.parse(json.out)).toMatchObject({ state: "pinned" });
  });

  test("unpin says what the file says", async () => {
    await serve();
    expect(await site.run("scripts", "unpin", "a")).toMatchObject({
      status: 0,
      out: "scripts/a.ts runs abababa, as its file says.\n",
    });
  });

  test("approve shows exactly what is added, and asks", async () => {
    await serve();
    const approve = async (answer: string) => {
      const context = site.context();
      const input = Object.assign(new PassThrough(), { isTTY: true });
      input.end(answer);
      const status = await approveScript("wait", { data: site.data, author: "ann" }, context, input);
      return { status, err: context.errText() };
    };
    expect(await approve("n\n")).toMatchObject({
      status: 1,
      err: expect.stringMatching(/asks for:\n {2}\+ kv\n {2}\+ dns\n.*Nothing was changed/s),
    });
    expect(site.scripts.asked).toEqual([]);
    expect(await approve("y\n")).toMatchObject({ status: 0 });
    expect(site.scripts.asked).toEqual([["approve", "scripts/wait.ts", pending.version, "ann"]]);
  });

  test("approve asks nobody with --yes, does nothing without a terminal, and says where nothing waits", async () => {
    await serve();
    expect(await site.run("scripts", "approve", "wait")).toMatchObject({
      status: 2,
      err: expect.stringMatching(/--yes/),
    });
    expect(site.scripts.asked).toEqual([]);
    expect(await site.run("scripts", "approve", "wait", "--yes")).toMatchObject({ status: 0 });
    expect(await site.run("scripts", "approve", "a", "--yes")).toMatchObject({
      status: 1,
      err: expect.stringMatching(/Nothing of scripts\/a.ts waits/),
    });
    expect(site.scripts.asked).toHaveLength(1);
  });

  test("kv lists, gets, sets, deletes and clears", async () => {
    await serve();
    const kv = async (...words: string[]) => {
      const { status, out } = await site.run("scripts", "kv", "a", ...words);
      return [status, out];
    };
    expect(await site.run("scripts", "kv", "a", "list")).toEqual({
      status: 0,
      out: "count\n",
      err: "1 entry of scripts/a.ts, 100B of 64KiB\n",
    });
    expect(await kv("get", "count")).toEqual([0, "3\n"]);
    expect(await kv("get", "none")).toEqual([1, "null\n"]);
    expect(await kv("set", "k", '{"a": 1}', "--ttl", "1h")).toEqual([0, ""]);
    expect(site.scripts.asked.at(-1)).toEqual(["set", "scripts/a.ts", "k", { a: 1 }, { ttlS: 3_600 }]);
    expect(await kv("get", "k")).toEqual([0, '{"a":1}\n']);
    expect(await kv("delete", "k")).toEqual([0, ""]);
    expect(await kv("delete", "k")).toEqual([1, ""]);
    expect(await kv("clear", "--yes")).toEqual([0, "Deleted 1.\n"]);
    expect(await kv("list", "--json")).toEqual([0, ""]);
  });

  test.each<[why: string, words: readonly string[], err: RegExp]>([
    ["what is no verb", ["kv", "a", "put"], /expected list, get, set, delete, clear/],
    ["a verb without its key", ["kv", "a", "get"], /scripts kv NAME get KEY/],
    ["a value that is no JSON", ["kv", "a", "set", "k", "word"], /is no JSON/],
    ["a time where nothing is set", ["kv", "a", "get", "k", "--ttl", "1h"], /--ttl goes with set/],
    ["clear without a terminal", ["kv", "a", "clear"], /--yes/],
    ["another script", ["unpin", "zzzzzz"], /There is no script/],
  ])("%s is a wrong usage", async (_why, words, err) => {
    await serve();
    expect(await site.run("scripts", ...words)).toMatchObject({ status: 2, err: expect.stringMatching(err) });
    expect(site.scripts.asked).toEqual([]);
  });

  test.each([["rollback"], ["unpin"], ["approve"], ["show"]])("%s says that no server runs", async (verb) => {
    expect(await site.run("scripts", verb, "a")).toMatchObject({ status: 3 });
  });
});

describe("history and diff, without a server", () => {
  const scripts = () => join(site.folder, "scripts");
  const write = (name: string, text: string) => writeFileSync(join(scripts(), name), text);
  const handler = "export const onArrival = () => {};\n";

  async function activate(at: number): Promise<string> {
    const versions = new VersionStore({ folder: join(site.data, "scripts"), versionsMax: () => 10, log: silentLog });
    const compiled = await compileScript({ root: scripts(), file: join(scripts(), "tag.ts") });
    await versions.activated({ compiled, grants: { kv: true } }, { at, author: "ann", by: "save" }, null);
    return compiled.version.slice(7, 14);
  }

  const run = (...words: string[]) =>
    site.run("scripts", ...words, "--data", site.data, "--set", `scripts.folder=${scripts()}`);

  beforeEach(() => mkdirSync(scripts()));

  test("history has a line for each time, latest first", async () => {
    write("tag.ts", handler);
    const one = await activate(nowMs - 60_000);
    write("tag.ts", `${handler}// more\n`);
    const two = await activate(nowMs);
    const { status, out } = await run("history", "tag");
    expect([status, out.split("\n").map((line) => line.split(/\s+/)[0])]).toEqual([0, ["version", two, one, ""]]);
    expect(out).toMatch(/live .* save +ann +kv\n/);
    const lines = (await run("history", "scripts/tag.ts", "--json")).out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([{ live: true, author: "ann", by: "save", grants: ["kv"] }, { live: false }]);
  });

  test("history of what never was live, and of what is none", async () => {
    write("tag.ts", handler);
    expect(await run("history", "tag")).toMatchObject({ status: 0, out: "", err: expect.stringMatching(/No version/) });
    expect(await run("history", "tga")).toMatchObject({ status: 2, err: expect.stringMatching(/Did you mean tag/) });
  });

  test("diff shows what was saved against what runs, else the last change, or versions that are named", async () => {
    write("word.ts", 'export const word = "one";\n');
    write("tag.ts", `import { word } from "./word.ts";\n${handler}console.log(word);\n`);
    const one = await activate(1_000);
    expect(await run("diff", "tag")).toMatchObject({ out: "", err: expect.stringMatching(/are the same/) });
    write("word.ts", 'export const word = "two";\n');
    const changed = '@@ -1,1 +1,1 @@\n-export const word = "one";\n+export const word = "two";\n';
    expect(await run("diff", "tag")).toMatchObject({
      status: 0,
      out: `--- scripts/word.ts (${one})\n+++ scripts/word.ts (file)\n${changed}`,
    });
    const two = await activate(2_000);
    expect((await run("diff", "tag")).out).toBe(
      `--- scripts/word.ts (${one})\n+++ scripts/word.ts (${two})\n${changed}`,
    );
    expect((await run("diff", "tag", two, one)).out).toMatch(
      /-export const word = "two";\n\+export const word = "one";/,
    );
    write("tag.ts", "nonsense here\n");
    expect((await run("diff", "tag", one)).out).toMatch(/word = "two"/);
    expect((await run("diff", "tag", "live", "file")).out).toMatch(/\+nonsense here/);
    expect(JSON.parse((await run("diff", "tag", one, "--json")).out)).toMatchObject({ script: "scripts/tag.ts" });
    expect(await run("diff", "tag", one, two, one)).toMatchObject({ status: 2 });
    expect(await run("diff", "tag", "0000")).toMatchObject({ status: 1, err: expect.stringMatching(/No version/) });
  });
});

describe("unifiedDiff", () => {
  const diff = (from: string | null, to: string | null, out = plainOutput) =>
    unifiedDiff({ title: "a", text: from }, { title: "b", text: to }, out);
  const lines = (...words: (string | number)[]) => words.map((word) => `${word}\n`).join("");
  const numbers = Array.from({ length: 20 }, (_, index) => index + 1);

  test.each<[why: string, from: string | null, to: string | null, hunks: string]>([
    ["the same", "a\n", "a\n", ""],
    ["a text that is new", null, "a\n", "--- nothing\n+++ b\n@@ -0,0 +1,1 @@\n+a\n"],
    ["a text that is gone", "a\n", null, "--- a\n+++ nothing\n@@ -1,1 +0,0 @@\n-a\n"],
    ["a line end at the end", "a\n", "a", "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-a\n+a (no line end)\n"],
    ["a line in between", lines(1, 2, 4), lines(1, 2, 3, 4), "--- a\n+++ b\n@@ -1,3 +1,4 @@\n 1\n 2\n+3\n 4\n"],
    [
      "the shortest way",
      lines("a", "b", "c", "a", "b", "b", "a"),
      lines("c", "b", "a", "b", "a", "c"),
      "--- a\n+++ b\n@@ -1,7 +1,6 @@\n-a\n-b\n c\n+b\n a\n b\n-b\n a\n+c\n",
    ],
    [
      "changes that are far from each other",
      lines(...numbers),
      lines(0, ...numbers.slice(0, -1)),
      "--- a\n+++ b\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -17,4 +18,3 @@\n 17\n 18\n 19\n-20\n",
    ],
  ])("%s", (_why, from, to, hunks) => {
    expect(diff(from, to)).toBe(hunks);
  });

  test("texts that have nothing in common are shown whole, in good time", () => {
    const many = (word: string) => lines(...Array.from({ length: 3_000 }, (_, index) => `${word} ${index}`));
    expect(diff(many("a"), many("b")).split("\n")).toHaveLength(6_004);
  });

  test("has colours, and nothing that steers a terminal", () => {
    expect(diff("a\n", "\tb\u001b[2J\n", taggedOutput)).toMatch(/<red>-a<\/red>\n<green>\+\tb<\/green>/);
  });
});

describe("what people see", () => {
  test("of a script that is pinned, and of one that waits", () => {
    const pinned = scriptView({
      state: "pinned",
      pinned: { version: "sha256:1", time: "2026-11-02T09:30:00.000Z", author: "ann\u001b[31m" },
      grants: ["kv"],
      warnings: ["mind this", "and that"],
    });
    const text = formatScripts([pinned, waiting], plainOutput);
    expect(text).toMatch(
      /pinned since 2026-11-02T09:30:00.000Z by ann: its file says otherwise\n {2}warning mind this \(and 1 more\)\n/,
    );
    expect(text).toMatch(/grant\.pending Waits for approval \(the version before runs\)/);
    expect(formatScript(pinned, nowMs, plainOutput)).toMatch(
      /pinned {6}10m ago by ann\n.*granted {5}kv\n.*warnings {4}mind this\n {12}and that\n/s,
    );
    expect(formatScript(waiting, nowMs, plainOutput)).toMatch(/waits for {3}kv\n {12}dns\n {12}in efefefe\n/);
  });

  test("of a message: which versions had a part in it", () => {
    const scripts = [{ script: "scripts/a.ts", version: `sha256:${"ab".repeat(32)}`, event: "onArrival" }];
    expect(formatQueueItem({ ...deferredItem, scripts }, nowMs, plainOutput)).toMatch(
      /scripts {3}scripts\/a\.ts abababa at onArrival\n/,
    );
  });
});
