/** `onarrival user …`: what each verb does to the file, what people see, and how it ends. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UsageError } from "../../../src/cli/failure.ts";
import {
  addUser,
  checkUser,
  enableUser,
  listUsers,
  removeUser,
  setUser,
  setUserPassword,
} from "../../../src/cli/user.ts";
import { type PasswordSource, readNewPassword, readPassword } from "../../../src/cli/user-password.ts";
import { parseUsers } from "../../../src/sinks/users-document.ts";
import { recordTerminal } from "../../support/terminal.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-user-"));
  file = join(folder, "data/users.json");
  writeFileSync(join(folder, "onarrival.toml"), '[[listeners]]\nrole = "submission"\nport = 0\n');
});
afterEach(() => rmSync(folder, { recursive: true }));

const strong = "correct horse";
const tooManyAddresses = Array.from({ length: 1_001 }, (_, i) => `a${i}@example.org`);
const context = () => recordTerminal({ cwd: folder });
const typed = (...lines: string[]): PasswordSource => ({
  isTerminal: true,
  ask: async () => lines.shift() ?? "",
  readAll: () => Promise.reject(new Error("standard input was read")),
});
const piped = (text: string): PasswordSource => ({
  isTerminal: false,
  ask: () => Promise.reject(new Error("nobody can be asked")),
  readAll: async () => text,
});
const users = () => parseUsers(readFileSync(file, "utf8"), file);
const add = (name: string, flags: object = {}, terminal = context()) =>
  addUser(name, { passwordStdin: true, ...flags }, terminal, piped(`${strong}\n`));

describe("onarrival user", () => {
  test("add makes the file and the user in it, with what was given; the password is hashed", async () => {
    const terminal = context();
    const flags = { address: ["ann@example.org", "*@Lists.example.org"], rate: "100/1h" };
    expect(await add("ann", flags, terminal)).toBe(0);
    expect(terminal.outText()).toBe("ann may log in.\n");
    expect(terminal.errText()).toBe("");
    expect(users().get("ann")).toMatchObject({
      addresses: ["ann@example.org", "*@lists.example.org"],
      enabled: true,
      rate: { times: 100, withinMs: 3_600_000 },
    });
    expect(readFileSync(file, "utf8")).not.toContain(strong);
  });

  test("add says where a user has no address, and where there is no listener for him", async () => {
    const terminal = context();
    await add("ann", {}, terminal);
    expect(terminal.errText()).toMatch(/no address to send from/);
    writeFileSync(join(folder, "onarrival.toml"), "");
    const other = context();
    await add("bob@example.org", {}, other);
    expect(other.errText()).toMatch(/No listener has the role submission/);
  });

  test.each<{ why: string; name?: string; flags: object; source: PasswordSource; fails: object }>([
    {
      why: "a name with a blank",
      name: "a b",
      flags: {},
      source: typed(strong, strong),
      fails: { code: "user.invalid" },
    },
    {
      why: "an address that is none",
      flags: { address: ["x"] },
      source: typed(strong, strong),
      fails: { code: "user.invalid" },
    },
    {
      why: "a rate that is none",
      flags: { rate: "x" },
      source: typed(strong, strong),
      fails: { code: "user.invalid" },
    },
    {
      why: "more addresses than the file may have",
      flags: { address: tooManyAddresses },
      source: typed(strong, strong),
      fails: { code: "user.invalid", message: /at most 1000 addresses/ },
    },
    { why: "an empty password", flags: {}, source: typed("", ""), fails: { message: /shorter than 12/ } },
    {
      why: "a short password",
      flags: { passwordStdin: true },
      source: piped("short\n"),
      fails: { message: /shorter than 12/ },
    },
    {
      why: "another password the second time",
      flags: {},
      source: typed(strong, "correct house"),
      fails: { message: /another one/ },
    },
    {
      why: "several lines",
      flags: { passwordStdin: true },
      source: piped(`${strong}\nmore\n`),
      fails: { message: /several lines/ },
    },
    { why: "nobody to ask", flags: {}, source: piped(strong), fails: { message: /no terminal/ } },
  ])("add refuses $why, and nothing is written", async ({ name = "ann", flags, source, fails }) => {
    await expect(addUser(name, flags, context(), source)).rejects.toMatchObject(
      Object.fromEntries(
        Object.entries(fails).map(([key, value]) => [
          key,
          value instanceof RegExp ? expect.stringMatching(value) : value,
        ]),
      ),
    );
    expect(() => readFileSync(file)).toThrow("ENOENT");
  });

  test("add refuses a user who is there, before the password is asked for", async () => {
    await add("ann");
    await expect(addUser("ANN", {}, context(), piped(""))).rejects.toMatchObject({ code: "user.exists" });
  });

  test("passwd gives another password, check tells which is right", async () => {
    await add("ann");
    expect(await setUserPassword("ann", {}, context(), typed("another horse", "another horse"))).toBe(0);
    expect(await checkUser("ann", { passwordStdin: true }, context(), piped("another horse\n"))).toBe(0);
    const wrong = context();
    expect(await checkUser("ann", { passwordStdin: true }, wrong, piped(strong))).toBe(1);
    expect(wrong.errText()).toBe("The password is wrong.\n");
  });

  test("disable, enable and remove", async () => {
    await add("Ann");
    await add("bob");
    expect(await enableUser("ann", false, {}, context())).toBe(0);
    expect(users().get("ann")).toMatchObject({ name: "Ann", enabled: false });
    const terminal = context();
    expect(await checkUser("ann", { passwordStdin: true }, terminal, piped(strong))).toBe(1);
    expect(terminal.errText()).toMatch(/right, but Ann is disabled/);
    await enableUser("ann", true, {}, context());
    expect(users().get("ann")).toMatchObject({ enabled: true });
    expect(await removeUser("ANN", {}, context())).toBe(0);
    expect([...users().keys()]).toEqual(["bob"]);
  });

  test("set changes what was said and nothing else", async () => {
    await add("Ann", { address: ["ann@example.org"], rate: "100/1h" });
    await add("bob");
    const before = users();
    const terminal = context();
    expect(await setUser("ann", { address: ["a@example.org", "*@Lists.example.org"] }, terminal)).toBe(0);
    expect(terminal.outText()).toBe("Ann: addresses a@example.org *@lists.example.org, rate 100/1h.\n");
    expect(users().get("ann")).toEqual({
      ...before.get("ann"),
      addresses: ["a@example.org", "*@lists.example.org"],
    });
    await setUser("ann", { rate: "5/1m" }, context());
    expect(users().get("ann")).toMatchObject({
      addresses: ["a@example.org", "*@lists.example.org"],
      rate: { times: 5, withinMs: 60_000 },
    });
    expect(users().get("bob")).toEqual(before.get("bob"));
  });

  test("set takes back by none what was given, and says where a user is left without an address", async () => {
    await add("ann", { address: ["ann@example.org"], rate: "100/1h" });
    const terminal = context();
    await setUser("ann", { address: ["none"], rate: "none", set: ["auth.rate=5/1m"] }, terminal);
    expect(terminal.outText()).toBe("ann: addresses -, rate 5/1m (auth.rate).\n");
    expect(terminal.errText()).toMatch(/no address to send from/);
    expect(users().get("ann")).toMatchObject({ addresses: [], rate: null });
  });

  test.each([
    ["nothing", {}, { message: expect.stringMatching(/neither --address nor --rate/) }],
    ["an address that is none", { address: ["x"] }, { code: "user.invalid" }],
    [
      "more addresses than the file may have",
      { address: tooManyAddresses },
      { code: "user.invalid", message: expect.stringMatching(/at most 1000 addresses/) },
    ],
    ["none beside an address", { address: ["none", "ann@example.org"] }, { code: "user.invalid" }],
    ["a rate that is none", { address: ["a@example.org"], rate: "x" }, { code: "user.invalid" }],
  ])("set refuses %s, and nothing changes", async (_why, flags, fails) => {
    await add("ann", { address: ["ann@example.org"] });
    const before = readFileSync(file, "utf8");
    await expect(setUser("ann", flags, context())).rejects.toMatchObject(fails);
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  test("list shows users and never their hashes", async () => {
    const empty = context();
    expect(await listUsers({}, empty)).toBe(0);
    expect(empty.errText()).toMatch(/There are no users/);
    await add("ann", { address: ["ann@example.org"], rate: "100/1h" });
    await add("bob");
    const [people, json] = [context(), context()];
    await listUsers({ set: ["auth.rate=5/1m"] }, people);
    expect(people.outText()).toBe(
      "NAME  ENABLED  RATE              ADDRESSES\nann   yes      100/1h            ann@example.org\nbob   yes      5/1m (auth.rate)  -\n",
    );
    await listUsers({ json: true }, json);
    expect(json.outText().split("\n")[0]).toBe(
      '{"name":"ann","addresses":["ann@example.org"],"enabled":true,"rate":"100/1h"}',
    );
    expect(people.outText() + json.outText()).not.toContain("argon2");
  });

  test.each([
    ["passwd", () => setUserPassword("eve", {}, context(), typed(strong, strong))],
    ["set", () => setUser("eve", { rate: "none" }, context())],
    ["disable", () => enableUser("eve", false, {}, context())],
    ["remove", () => removeUser("eve", {}, context())],
    ["check", () => checkUser("eve", { passwordStdin: true }, context(), piped(strong))],
  ])("%s of a user who is none is a fault", async (_verb, run) => {
    await add("ann");
    await expect(run()).rejects.toMatchObject({ code: "user.unknown" });
  });
});

describe("readPassword", () => {
  test.each([
    ["one line", "a b c\n", "a b c"],
    ["one line of Windows", "a b c\r\n", "a b c"],
    ["no line end", " a ", " a "],
  ])("from standard input: %s", async (_why, text, expected) => {
    expect(await readPassword(true, piped(text))).toBe(expected);
  });

  test("a new one is asked for twice", async () => {
    expect(await readNewPassword(false, typed(strong, strong))).toBe(strong);
    await expect(readNewPassword(false, typed(strong, ""))).rejects.toThrow(UsageError);
  });
});
