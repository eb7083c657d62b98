/** The control socket's view of scripts at work: figures, and log lines with and without following. */
import { describe, expect, test } from "vitest";
import { createScriptWatchApi } from "../../../src/admin/script-watch-control.ts";
import { formatLine, type LogAnswer } from "../../../src/cli/scripts-log.ts";
import { formatTop } from "../../../src/cli/scripts-top.ts";
import { Figures } from "../../../src/scripting/figures.ts";
import { ScriptLog, type ScriptLogLine } from "../../../src/scripting/script-log.ts";
import { plainOutput } from "../../support/terminal.ts";

const usage = { cpuMs: 2, wallMs: 10, heapKiB: 2_048 };
const base = { script: "scripts/a.ts", version: `sha256:${"a".repeat(64)}`, fault: null, usage } as const;

function create() {
  const figures = new Figures();
  const lines = new ScriptLog(() => 0);
  const watch = {
    figures: () =>
      figures.show().map(({ script, versions }) => ({
        script,
        versions: versions.map((one) => ({ ...one, role: "live" as const })),
      })),
    lines,
  };
  const say = (level: ScriptLogLine["level"], text: string) =>
    lines.add({
      ...base,
      event: "onArrival",
      about: "01M",
      verdict: "proceed",
      log: [{ level, text, at: Date.UTC(2026, 0, 5) }],
    });
  return { figures, say, api: createScriptWatchApi(watch) };
}

const texts = (body: string) =>
  body
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => (JSON.parse(line) as ScriptLogLine).text);

describe("createScriptWatchApi", () => {
  test("gives figures, which are shown as a table", async () => {
    const { figures, api } = create();
    figures.count({ ...base, verdict: "refuse" });
    const { scripts } = (await (await api.request("/api/v1/scripts/figures")).json()) as {
      readonly scripts: Parameters<typeof formatTop>[0];
    };
    expect(scripts).toHaveLength(1);
    const [head, row] = formatTop(scripts, plainOutput).split("\n");
    expect(head).toMatch(/^script +version +role +runs +faults +refused/);
    expect(row).toMatch(
      /^scripts\/a\.ts +aaaaaaa +live +1 +0 +1 +0 +2\.0ms +2\.\dms +2\.\dms +1[01]ms +8\.0ms +2\.0 MiB$/,
    );
  });

  test("gives the last lines that are meant", async () => {
    const { say, api } = create();
    for (const level of ["warn", "debug", "error", "info"] as const) say(level, level);
    const ask = async (query: string) => texts(await (await api.request(`/api/v1/scripts/log?${query}`)).text());
    expect(await ask("script=scripts/a.ts")).toEqual(["warn", "debug", "error", "info"]);
    expect(await ask("script=scripts/a.ts&level=warn")).toEqual(["warn", "error"]);
    expect(await ask("script=scripts/a.ts&level=info&lines=2")).toEqual(["error", "info"]);
    expect(await ask("script=scripts/a.ts&lines=0")).toEqual([]);
  });

  test.each<[why: string, query: string, words: string]>([
    ["no script", "level=info", "script: expected"],
    ["no such level", "script=x&level=loud", "level: expected debug"],
    ["too many lines", "script=x&lines=1001", "lines: expected"],
  ])("says no to %s", async (_why, query, words) => {
    const answer = await create().api.request(`/api/v1/scripts/log?${query}`);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { readonly error: string }).error).toContain(words);
  });

  test("follows: what there is, then what comes, of the level that is meant", async () => {
    const { say, api } = create();
    say("info", "before");
    const answer = await api.request("/api/v1/scripts/log?script=scripts/a.ts&level=info&follow=");
    const reader = answer.body!.getReader();
    const read = async () => texts(new TextDecoder().decode((await reader.read()).value));
    expect(await read()).toEqual(["before"]);
    say("debug", "not meant");
    say("error", "behind");
    expect(await read()).toEqual(["behind"]);
    await reader.cancel();
  });

  test("counts what a slow follower missed", async () => {
    const { say, api } = create();
    const answer = await api.request("/api/v1/scripts/log?script=scripts/a.ts&follow=");
    const reader = answer.body!.getReader();
    for (let n = 0; n < 1_200; n++) say("info", "x".repeat(1_000));
    let body = "";
    const read = async () => {
      body += new TextDecoder().decode((await reader.read()).value);
    };
    while (body.split("\n").length < 700) await read();
    say("info", "now");
    while (!body.includes('"missed"')) await read();
    expect(body).toMatch(/\{"missed":[1-9]\d*\}\n/);
    await reader.cancel();
  });
});

describe("formatLine", () => {
  const line: ScriptLogLine = {
    at: Date.UTC(2026, 0, 5, 9, 30, 1, 250),
    level: "warn",
    text: "too\u001b[31m big",
    script: "scripts/a.ts",
    version: base.version,
    event: "onArrival",
    about: "01M",
  };
  test.each<[why: string, line: LogAnswer, shown: string]>([
    ["a line, harmless", line, "09:30:01.250 warn  01M aaaaaaa  too big\n"],
    [
      "a fault with its place",
      { ...line, about: null, level: "error", fault: { code: "script.threw", at: "scripts/a.ts:1:2" } },
      "09:30:01.250 error - aaaaaaa  script.threw scripts/a.ts:1:2: too big\n",
    ],
    ["what was missed", { missed: 3 }, "(3 lines were too many to follow)\n"],
  ])("%s", (_why, shown, text) => {
    expect(formatLine(shown, plainOutput)).toBe(text);
  });
});
