/** `onarrival badmail …`: its routes, its verbs through the real argument parser, and what people see. */
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createBadMailApi } from "../../../src/admin/badmail-control.ts";
import type { ControlServer } from "../../../src/admin/control.ts";
import { formatBadMail, formatBadMailItem, removeBadMail } from "../../../src/cli/badmail.ts";
import { badMail, fakeBadMailControl, firstId, secondId } from "../../support/operator-controls.ts";
import { createOperatorSite } from "../../support/operator-site.ts";
import { plainOutput } from "../../support/terminal.ts";

const nowMs = Date.parse("2026-11-02T09:40:00Z");
let site: ReturnType<typeof createOperatorSite>;
let server: ControlServer;
beforeEach(async () => {
  site = createOperatorSite();
  server = await site.serve();
});
afterEach(async () => {
  await server.close();
  site.remove();
});

describe("createBadMailApi", () => {
  const ask = async (method: string, path: string, body?: unknown) => {
    const control = fakeBadMailControl();
    const api = createBadMailApi(control);
    const response = await api.request(path, { method, ...(body !== undefined && { body: JSON.stringify(body) }) });
    return { status: response.status, text: await response.text(), asked: control.asked };
  };

  test.each<[why: string, method: string, path: string, body: unknown, asked: unknown[]]>([
    [
      "a list",
      "GET",
      "/api/v1/badmail?limit=3&olderThanMs=5&binding=x",
      undefined,
      ["list", { olderThanMs: 5, binding: "x" }, { limit: 3 }],
    ],
    ["a release", "POST", "/api/v1/badmail/release", { ids: [firstId] }, ["release", [firstId], {}]],
    [
      "a release to others, once more",
      "POST",
      "/api/v1/badmail/release",
      { ids: [firstId], to: ["<A@B.test>"], again: true },
      ["release", [firstId], { to: ["A@b.test"], again: true }],
    ],
    [
      "a removal",
      "POST",
      "/api/v1/badmail/remove",
      { selection: { ids: [firstId] } },
      ["remove", { ids: [firstId] }, { dryRun: false }],
    ],
    [
      "one of everything",
      "POST",
      "/api/v1/badmail/remove",
      { all: true, dryRun: true },
      ["remove", {}, { dryRun: true }],
    ],
  ])("hands on %s", async (_why, method, path, body, asked) => {
    expect(await ask(method, path, body)).toMatchObject({ status: 200, asked: [asked] });
  });

  test.each<[why: string, method: string, path: string, body: unknown, status: number, words: RegExp]>([
    ["an id that is a path", "GET", "/api/v1/badmail/..%2F..%2Fetc", undefined, 404, /is in badmail/],
    ["one that is not there", "GET", `/api/v1/badmail/${secondId}`, undefined, 404, /is in badmail/],
    ["its octets", "GET", `/api/v1/badmail/${secondId}/raw`, undefined, 404, /is in badmail/],
    ["a release of nothing", "POST", "/api/v1/badmail/release", {}, 400, /expected the ids/],
    [
      "a release to no address",
      "POST",
      "/api/v1/badmail/release",
      { ids: [firstId], to: ["x"] },
      400,
      /local-part@domain/,
    ],
    ["a removal of nothing", "POST", "/api/v1/badmail/remove", {}, 400, /unless it is said: all/],
    [
      "a removal of ids that are none",
      "POST",
      "/api/v1/badmail/remove",
      { selection: { ids: ["../x"] } },
      400,
      /is no id/,
    ],
    ["a condition there is not", "POST", "/api/v1/badmail/remove", { selection: { age: 1 } }, 400, /unknown key .*age/],
  ])("refuses %s", async (_why, method, path, body, status, words) => {
    const answer = await ask(method, path, body);
    expect([answer.status, answer.asked]).toEqual([status, []]);
    expect(answer.text).toMatch(words);
  });

  test("gives the octets", async () => {
    expect(await ask("GET", `/api/v1/badmail/${firstId}/header`)).toMatchObject({ status: 200, text: "header" });
  });
});

describe("onarrival badmail", () => {
  test("list and show print JSON as the server has it", async () => {
    expect(JSON.parse((await site.run("badmail", "list", "--older", "7d", "--json")).out)).toEqual(badMail);
    expect(site.badmail.asked).toEqual([["list", { olderThanMs: 7 * 86_400_000 }, { limit: 1_000 }]]);
    expect(JSON.parse((await site.run("badmail", "show", firstId, "--json")).out)).toEqual(badMail);
  });

  test("release says what went and what did not, and why", async () => {
    expect(await site.run("badmail", "release", firstId, secondId, "--to", "ann@example.test", "--again")).toEqual({
      status: 1,
      out: "Released 1 message.\n",
      err: `skipped ${secondId}: it is not here\n`,
    });
    expect(site.badmail.asked).toEqual([["release", [firstId, secondId], { to: ["ann@example.test"], again: true }]]);
  });

  test.each<[why: string, argv: string[], words: RegExp]>([
    ["nothing that says which", ["remove"], /expected ids, --older, --binding, or --all/],
    ["all beside a filter", ["remove", "--all", "--older", "1d"], /--all means all of badmail/],
    ["a removal off a terminal", ["remove", "--older", "1d"], /Not done: remove 1 message for ever cannot be undone/],
    ["an id that is none", ["release", "x"], /is no id of a message/],
  ])("refuses %s with exit 2", async (_why, argv, words) => {
    const { status, err } = await site.run("badmail", ...argv);
    expect(status).toBe(2);
    expect(err).toMatch(words);
  });

  test("remove does it with --yes, shows it with --dry-run, asks on a terminal", async () => {
    expect(await site.run("badmail", "remove", "--all", "--yes")).toEqual({
      status: 0,
      out: "Removed 1 message.\n",
      err: "",
    });
    expect(await site.run("badmail", "remove", "--all", "--dry-run")).toMatchObject({
      status: 0,
      out: "Would remove 1 message.\n",
    });
    const input = Object.assign(new PassThrough(), { isTTY: true });
    input.end("yes\n");
    const context = site.context();
    expect(await removeBadMail([], { older: "30d" }, context, input)).toBe(0);
    expect(context.errText()).toContain(`  ${firstId}  eve@example.net  looks like spam\n`);
    expect(site.badmail.asked.map(([, selection, options]) => [selection, options])).toEqual([
      [{}, { dryRun: false }],
      [{}, { dryRun: true }],
      [{ olderThanMs: 30 * 86_400_000 }, { dryRun: true }],
      [{ ids: [firstId] }, { dryRun: false }],
    ]);
  });
});

test("formatBadMail tells below each message why it is there, or what is wrong with it", () => {
  const broken = {
    ...badMail,
    from: null,
    file: "report.eml",
    to: [],
    problem: "reason.json cannot be read",
    binding: null,
  };
  expect(formatBadMail([badMail, broken], nowMs, plainOutput, 80)).toBe(
    [
      "id                since   size  from             to",
      "0000000000000001  1d ago  4KiB  eve@example.net  ann@example.test +1",
      "  looks like spam, by scripts/spam.ts#onArrival",
      "0000000000000001  1d ago  4KiB  report.eml",
      "  reason.json cannot be read",
      "",
    ].join("\n"),
  );
  expect(formatBadMailItem(badMail, nowMs, plainOutput)).toContain(
    "because   looks like spam\nby        scripts/spam.ts#onArrival\nrule      CLIENT=192.0.2.0/24\n",
  );
});
