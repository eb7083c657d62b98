/** `onarrival scripts check`: findings with their places, for people and as JSON, and what they mean for the exit status. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkScripts } from "../../../src/cli/scripts-check.ts";
import { formatCheck, type ScriptCheck } from "../../../src/cli/scripts-check-report.ts";
import { recordTerminal, taggedOutput } from "../../support/terminal.ts";

const good =
  'import type { ArrivalHandler } from "onarrival";\nexport const onArrival: ArrivalHandler = (mail) => mail.settle();\n';
const mistyped = good.replace("settle", "setle");
const unawaited = good.replace("mail.settle()", "{ mail.setText(mail.subject); }");

let site: string;
beforeEach(() => {
  site = mkdtempSync(join(tmpdir(), "onarrival-check-"));
  mkdirSync(join(site, "scripts"));
});
afterEach(() => rmSync(site, { recursive: true }));

async function check(
  files: Readonly<Record<string, string>>,
  flags: { readonly json?: boolean; readonly set?: readonly string[] } = {},
) {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(site, "scripts", name), text);
  const context = recordTerminal({ cwd: site });
  const status = await checkScripts([], flags, context);
  return { status, out: context.outText(), err: context.errText() };
}

describe("checkScripts", () => {
  test("finds nothing in scripts that are right", async () => {
    const { status, out, err } = await check({
      "a.ts": good,
      "b.ts": good.replace("mail)", "{ settle })").replace("mail.settle", "settle"),
    });
    expect(err).toBe("2 of 2 can run\n");
    expect(out).toMatch(/^ok {5}scripts\/a\.ts {2}[0-9a-f]{7} {2}onArrival\nok {5}scripts\/b\.ts .*\n$/);
    expect(status).toBe(0);
  });

  test("tells type errors and findings at their lines, and what is broken; the status is 1", async () => {
    const { status, out, err } = await check({
      "a.ts": mistyped,
      "b.ts": unawaited,
      "c.ts": "export const",
      "d.ts": good,
    });
    expect(out.split("\n")).toEqual([
      expect.stringMatching(/^ok {5}scripts\/a\.ts /),
      "       2:57  TS2551  Property 'setle' does not exist on type 'ArrivedMail'. Did you mean 'settle'?",
      expect.stringMatching(/^ok {5}scripts\/b\.ts /),
      "       2:54  unawaited  setText() gives a promise that is not awaited: the run may end before it is done. Write await before it.",
      "broken scripts/c.ts  script.compile",
      expect.stringContaining("scripts/c.ts:1:13: "),
      expect.stringMatching(/^ok {5}scripts\/d\.ts /),
      "",
    ]);
    expect(err).toBe("3 of 4 can run; 2 findings\n");
    expect(status).toBe(1);
  });

  test("has status 1 for a finding alone, and 0 where it is silenced", async () => {
    expect((await check({ "a.ts": unawaited })).status).toBe(1);
    const silenced = unawaited.replace(
      "export const onA",
      "// onarrival-ignore: unawaited it is tried\nexport const onA",
    );
    expect(await check({ "a.ts": silenced })).toMatchObject({ status: 0, err: "" });
  });

  test("says the same as JSON", async () => {
    const { out } = await check({ "a.ts": mistyped }, { json: true });
    expect(JSON.parse(out)).toMatchObject({
      script: "scripts/a.ts",
      ok: true,
      events: ["onArrival"],
      fault: null,
      findings: [{ code: "TS2551", advice: null, at: "scripts/a.ts:2:57" }],
    });
  });

  test.each<[policy: string, ok: boolean, codes: string[], fault: string | null]>([
    ["off", true, [], null],
    ["warn", true, ["TS2551"], null],
    ["block", false, ["TS2551"], "script.types"],
  ])("with scripts.types = %s does what the server does", async (policy, ok, codes, fault) => {
    const { out } = await check({ "a.ts": mistyped }, { json: true, set: [`scripts.types=${policy}`] });
    const told: ScriptCheck = JSON.parse(out);
    expect(told.ok).toBe(ok);
    expect(told.findings.map(({ code }) => code)).toEqual(codes);
    expect(told.fault?.code ?? null).toBe(fault);
  });

  test("tells that the declarations are of another edition", async () => {
    mkdirSync(join(site, ".onarrival"));
    const { err, status } = await check({ "a.ts": good });
    expect(err).toBe("warning: The declarations your editor reads are of another edition: onarrival types\n");
    expect(status).toBe(0);
  });
});

describe("formatCheck", () => {
  const base: ScriptCheck = {
    script: "scripts/a.ts",
    ok: true,
    version: "sha256:0123456789",
    events: ["onArrival", "onRcptTo"],
    priority: 5,
    rule: "RCPT TO=*@example.org",
    onFault: null,
    enabled: false,
    grants: ["look-ups of names"],
    findings: [],
    fault: null,
  };
  const finding = { code: "console", message: "A.", advice: "B.", at: "scripts/a.ts:12:3" };

  test.each<[why: string, change: Partial<ScriptCheck>, lines: string[]]>([
    [
      "all that is known",
      {},
      [
        "<green>ok</green>     scripts/a.ts  <dim>0123456</dim>  onArrival, onRcptTo · priority 5 · rule RCPT TO=*@example.org · disabled · asks for look-ups of names",
      ],
    ],
    [
      "findings in columns, those of other files with their names",
      { findings: [finding, { code: "TS1", message: "C.", advice: null, at: "scripts/lib/b.ts:1:1" }] },
      [
        expect.any(String) as unknown as string,
        "       12:3                  <yellow>console</yellow>  A. <dim>B.</dim>",
        "       scripts/lib/b.ts:1:1  <red>TS1    </red>  C.",
      ],
    ],
    [
      "a fault with its place, without control characters",
      {
        ok: false,
        fault: { code: "script.compile", message: "no\u001b[31m\u0007", at: "scripts/a.ts:1:2", stack: "" },
      },
      ["<red>broken</red> scripts/a.ts  <red>script.compile</red>", "       scripts/a.ts:1:2: no "],
    ],
    [
      "type errors that block once",
      { ok: false, findings: [finding], fault: { code: "script.types", message: "A.", at: finding.at, stack: "" } },
      [
        "<red>broken</red> scripts/a.ts  <red>script.types</red>",
        "       12:3  <yellow>console</yellow>  A. <dim>B.</dim>",
      ],
    ],
  ])("tells %s", (_why, change, lines) => {
    expect(
      formatCheck({ ...base, ...change }, taggedOutput)
        .trimEnd()
        .split("\n"),
    ).toEqual(lines.map((line) => (typeof line === "string" ? line.trimEnd() : line)));
  });
});
