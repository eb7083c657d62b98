/** `onarrival dkim`: keys on disk and what is said of them, with DNS that says what it is told. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { addKeys, checkKeys, compareRecords, listAllKeys, removeOneKey, showKeys } from "../../../src/cli/dkim.ts";
import { exitStatus } from "../../../src/cli/exit-status.ts";
import { UsageError } from "../../../src/cli/failure.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import {
  type DkimKey,
  isUsable,
  readKeys,
  recordName,
  recordStrings,
  recordText,
} from "../../../src/sinks/dkim-keys.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";
import { recordTerminal } from "../../support/terminal.ts";

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "onarrival-dkim-verb-"));
  writeFileSync(join(cwd, "onarrival.toml"), 'data = "data"\n');
});
afterEach(() => rmSync(cwd, { recursive: true }));

const folder = () => join(cwd, "data", "dkim");
const quick = { algorithm: "rsa", bits: "1024" };

async function run(verb: (context: ReturnType<typeof recordTerminal>) => Promise<number>) {
  const terminal = recordTerminal({ cwd });
  const status = await verb(terminal);
  return { status, out: terminal.outText(), err: terminal.errText() };
}

const add = (domain = "example.org", flags: Parameters<typeof addKeys>[1] = { ...quick, selector: "one" }) =>
  run((context) => addKeys(domain, flags, context));

async function keyOf(domain = "example.org"): Promise<DkimKey> {
  const key = (await readKeys(folder(), domain)).find(isUsable);
  if (!key) throw new Error(`no key of ${domain}`);
  return key;
}

describe("dkim add", () => {
  test("makes a key and prints its record, in one line and for a zone file", async () => {
    const { status, out, err } = await add();
    expect(status).toBe(exitStatus.done);
    const key = await keyOf();
    expect(out).toContain(`value      ${recordText(key)}\n`);
    expect(out).toContain(`zone file  one._domainkey.example.org. IN TXT ( ${recordStrings(recordText(key))} )\n`);
    expect(out).toContain("RSA, 1024 bits");
    expect(err).toContain("onarrival dkim check example.org");
  });

  test("with both algorithms makes two keys, named for them; without a selector they are named for the month", async () => {
    await add("example.org", { ...quick, algorithm: "both" });
    const names = readdirSync(join(folder(), "example.org"));
    expect(names.length).toBe(2);
    expect(names[0]).toMatch(/^20\d{4}-ed25519\.pem$/);
    expect(names[1]).toMatch(/^20\d{4}-rsa\.pem$/);
  });

  test("--json gives a document for each key, with nothing secret in it", async () => {
    const { out } = await add("example.org", { ...quick, algorithm: "both", selector: "s", json: true });
    const documents = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(documents.map(({ algorithm }) => algorithm)).toEqual(["rsa-sha256", "ed25519-sha256"]);
    expect(out).not.toContain("PRIVATE");
  });

  const wrong: readonly [why: string, domain: string, flags: Partial<Parameters<typeof addKeys>[1]>, words: RegExp][] =
    [
      ["no domain", "no domain", {}, /Cannot read the domain/],
      ["one label", "localhost", {}, /Cannot read the domain/],
      ["a path", "../example.org", {}, /Cannot read the domain/],
      ["a path for a selector", "example.org", { selector: "../x" }, /Cannot read the selector/],
      ["too few bits", "example.org", { bits: "1023" }, /--bits/],
      ["too many bits", "example.org", { bits: "4097" }, /--bits/],
      ["no number", "example.org", { bits: "many" }, /--bits/],
    ];
  test.each(wrong)("refuses %s", async (_why, domain, flags, words) => {
    const tried = add(domain, { ...quick, selector: "one", ...flags });
    await expect(tried).rejects.toThrow(UsageError);
    await expect(tried).rejects.toThrow(words);
  });

  test("overwrites no key, and of two that are asked for makes none where one is there", async () => {
    await add("example.org", { ...quick, selector: "s-ed25519" });
    await expect(add("example.org", { ...quick, selector: "s", algorithm: "both" })).rejects.toThrow(
      "There is a key s-ed25519",
    );
    expect(readdirSync(join(folder(), "example.org"))).toEqual(["s-ed25519.pem"]);
  });

  test("of two that make one selector at once, one makes it and the other hears so", async () => {
    const tries = await Promise.allSettled([add(), add(), add()]);
    const made = tries.filter((one) => one.status === "fulfilled");
    expect(made).toHaveLength(1);
    for (const one of tries)
      if (one.status === "rejected") expect(String(one.reason)).toContain("There is a key one of example.org already");
    expect(made[0]!.value.out).toContain(recordText(await keyOf()));
    expect(readdirSync(join(folder(), "example.org"))).toEqual(["one.pem"]);
  });

  test("an international domain has its ASCII form on disk and in DNS", async () => {
    const { out } = await add("bücher.example");
    expect(out).toContain("one._domainkey.xn--bcher-kva.example");
  });
});

describe("dkim list and show", () => {
  test("list shows every key, and says of a file that is none why", async () => {
    expect((await run((context) => listAllKeys({}, context))).err).toContain("There are no keys");
    await add();
    writeFileSync(join(folder(), "example.org", "bad.pem"), "x");
    const { out } = await run((context) => listAllKeys({}, context));
    expect(out).toMatch(/example\.org +one +RSA, 1024 bits/);
    expect(out).toMatch(/example\.org +bad +.+/);
    const json = await run((context) => listAllKeys({ json: true }, context));
    expect(
      json.out
        .trim()
        .split("\n")
        .map((line) => Object.keys(JSON.parse(line)).at(-1))
        .sort(),
    ).toEqual(["problem", "record"]);
  });

  test("show prints the record again, and fails for a domain without keys", async () => {
    await add();
    const { out } = await run((context) => showKeys("example.org", {}, context));
    expect(out).toContain(recordText(await keyOf()));
    await expect(run((context) => showKeys("example.com", {}, context))).rejects.toThrow(
      "There are no keys of example.com",
    );
  });
});

describe("dkim check", () => {
  const check = (txt: Record<string, readonly string[]>, failing: readonly string[] = []) =>
    run((context) => checkKeys("example.org", {}, context, createFakeResolver({ txt, failing }, systemClock)));

  test("is good where the record is there, and says what is wrong where it is not", async () => {
    await add();
    const key = await keyOf();
    const name = recordName(key);
    expect(await check({ [name]: [recordText(key)] })).toMatchObject({ status: 0, out: `good  ${name}\n` });
    expect(await check({})).toMatchObject({ status: 1, out: `bad   ${name}  there is no record\n` });
    expect((await check({}, [name])).out).toContain("DNS did not answer: ESERVFAIL");
  });

  const rows: readonly [why: string, change: (record: string) => readonly string[], problem: string | null][] = [
    ["the same", (record) => [record], null],
    [
      "other order, blanks in the key",
      (record) => [record.replace(/(v=DKIM1); (k=rsa); p=(.{10})/, "p=$3 ").concat("; k=rsa; v=DKIM1")],
      null,
    ],
    ["without what may be left out", (record) => [record.replace("v=DKIM1; k=rsa; ", "")], null],
    ["another key", (record) => [record.replace(/p=.{20}/, "p=AAAAAAAAAAAAAAAAAAAA")], "it has another key"],
    ["revoked", () => ["v=DKIM1; p="], "it says that the key is revoked (p= is empty)"],
    ["another kind", (record) => [record.replace("k=rsa", "k=ed25519")], "its kind of key is ed25519, expected k=rsa"],
    ["another version", (record) => [record.replace("DKIM1", "DKIM2")], "it begins with another version than v=DKIM1"],
    ["two", (record) => [record, record], "there are 2 records, expected one"],
    ["a test", (record) => [record.replace("p=", "t=y; p=")], "it says that it is only a test (t=y)"],
  ];
  test.each(rows)("compareRecords: %s", async (_why, change, problem) => {
    await add();
    const key = await keyOf();
    expect(compareRecords(change(recordText(key)), key)).toBe(problem);
  });
});

describe("dkim remove", () => {
  const one = { domain: "example.org", selector: "one" };
  const typed = (text: string) => Object.assign(new PassThrough(), { isTTY: true }).end(text);

  test("asks, and removes on a yes; --yes does not ask", async () => {
    await add();
    expect((await run((context) => removeOneKey(one, {}, context, typed("n\n")))).status).toBe(exitStatus.failed);
    expect(readdirSync(join(folder(), "example.org"))).toEqual(["one.pem"]);
    const { status, err } = await run((context) => removeOneKey(one, {}, context, typed("y\n")));
    expect([status, readdirSync(folder())]).toEqual([exitStatus.done, []]);
    expect(err).toContain("one._domainkey.example.org");
    await add();
    await run((context) => removeOneKey(one, { yes: true }, context));
    expect(readdirSync(folder())).toEqual([]);
  });

  test("without a terminal and without --yes nothing is removed; a key that is not there is said", async () => {
    await add();
    await expect(run((context) => removeOneKey(one, {}, context, new PassThrough()))).rejects.toThrow("Not removed");
    expect(readdirSync(join(folder(), "example.org"))).toEqual(["one.pem"]);
    await expect(run((context) => removeOneKey({ ...one, selector: "two" }, { yes: true }, context))).rejects.toThrow(
      "There is no key two",
    );
  });
});

test("recordStrings parts a long record in strings of 255 octets that are the record again", () => {
  for (const length of [1, 255, 256, 510, 600]) {
    const strings = recordStrings("x".repeat(length)).split(" ");
    expect(strings.length).toBe(Math.ceil(length / 255));
    expect(strings.map((one) => one.slice(1, -1)).join("")).toBe("x".repeat(length));
  }
});
