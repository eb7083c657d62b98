import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cookbookPage, describeCase, renderCookbook } from "./cookbook.ts";

test("docs/cookbook.md is what the examples and their tests say; else run `node test/tidy/cookbook.ts --write`", async () => {
  expect(readFileSync(cookbookPage, "utf8")).toBe(await renderCookbook());
});

test("docs/cookbook.md leads from its list to every recipe", async () => {
  const page = await renderCookbook();
  const headings = [...page.matchAll(/^### (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, "")
      .replaceAll(" ", "-"),
  );
  expect(headings.length).toBeGreaterThanOrEqual(22);
  expect([...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)).toEqual(headings);
});

describe("describeCase", () => {
  const verdict = { kind: "proceed", settled: false };
  const untouched = { envelope: { added: [], removed: [] }, fields: [], parts: [] };
  const rows: readonly [why: string, expected: Parameters<typeof describeCase>[0], words: string][] = [
    ["not asked", { matched: false, verdict }, "the rule does not hold"],
    ["nothing done", { matched: true, verdict, changes: untouched }, "goes on as it is"],
    [
      "asked and then nothing done",
      { matched: true, verdict, asked: [{ ask: "dns MX example.org" }, { ask: "kv.get a" }] },
      "asks `dns MX example.org` · goes on as it is",
    ],
    [
      "a verdict with a reply",
      { matched: true, verdict: { kind: "refuse", code: 550, status: "5.1.1", text: "No", settled: false } },
      "`550 5.1.1 No`",
    ],
    [
      "a verdict with a reason",
      { matched: true, verdict: { kind: "discard", text: "told", settled: false } },
      "discard: told",
    ],
    [
      "edits of all kinds",
      {
        matched: true,
        verdict,
        changes: {
          envelope: { from: null, added: ["a@example.org"], removed: ["b@example.org"] },
          fields: [
            { op: "add", name: "X-A", after: "1" },
            { op: "remove", name: "X-B", before: "2" },
          ],
          parts: [{ op: "remove", part: "2", contentType: "image/png", fileName: "a.png" }],
          routes: [{ recipients: ["c@example.org"], to: "mx" }],
          folders: [{ recipients: null, to: "Junk" }],
        },
        submissions: [{ from: null, to: ["d@example.org"], subject: "Hi" }],
      },
      "from `<>` on the envelope · not to `b@example.org` · to `a@example.org` · `X-A: 1` · without X-B · remove part 2 (a.png) · by `mx` for `c@example.org` · into the folder Junk · a message to `d@example.org`: Hi",
    ],
  ];
  test.each(rows)("says what became of a message: %s", (_why, expected, words) => {
    expect(describeCase(expected)).toBe(words);
  });
});
