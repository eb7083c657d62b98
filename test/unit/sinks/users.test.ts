/** The file of users: what may stand in it, what is said of what may not, and how it is read and written. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import {
  addressesMax,
  checkUserAddress,
  checkUserAddresses,
  checkUserName,
  checkUserRate,
  formatUsers,
  maySendFrom,
  parseUsers,
  type Users,
  userKey,
  userNameOctetsMax,
} from "../../../src/sinks/users-document.ts";
import { changeUsers, readUsers, UsersFile } from "../../../src/sinks/users-file.ts";
import { breakUsersLock } from "../../../src/sinks/users-lock.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { faultOf } from "../../support/fault-of.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { cheapHash, createUser, testUsers } from "../../support/submission-users.ts";

const hash = cheapHash("x");
const document = (user: object) => JSON.stringify({ format: 1, users: [{ name: "ann", password: hash, ...user }] });

describe("parseUsers", () => {
  test("reads what was written", () => {
    expect(parseUsers(formatUsers(testUsers), "users.json")).toEqual(testUsers);
  });

  test("what is not written has its usual value", () => {
    expect(parseUsers(document({}), "f").get("ann")).toEqual({
      name: "ann",
      password: hash,
      addresses: [],
      enabled: true,
      rate: null,
    });
  });

  test.each([
    ["no JSON", "{", /Cannot read f: /],
    ["a list", "[]", /the file: expected an object/],
    ["another format", '{"format":2,"users":[]}', /format: expected 1/],
    ["no users", '{"format":1}', /users: expected a list/],
    ["a field at the top", '{"format":1,"users":[],"user":1}', /user: there is no such field; did you mean users\?/],
    [
      "a field of a user",
      document({ adresses: [] }),
      /users\[0\]\.adresses: there is no such field; did you mean addresses\?/,
    ],
    ["a user that is none", '{"format":1,"users":[5]}', /users\[0\]: expected an object/],
    ["a name with a blank", document({ name: "a b" }), /users\[0\]\.name: Cannot take "a b"/],
    ["a password in the clear", document({ password: "secret" }), /users\[0\]\.password: expected an Argon2id hash/],
    [
      "an address that is none",
      document({ addresses: ["a@b.example", "x"] }),
      /users\[0\]\.addresses\[1\]: Cannot take "x"/,
    ],
    ["addresses that are no list", document({ addresses: "a@b.example" }), /users\[0\]\.addresses: expected a list/],
    ["enabled in words", document({ enabled: "no" }), /users\[0\]\.enabled: expected true or false/],
    ["a rate that is none", document({ rate: "many" }), /users\[0\]\.rate: Cannot take "many"/],
    [
      "two users of one name",
      JSON.stringify({
        format: 1,
        users: [
          { name: "ann", password: hash },
          { name: "ANN", password: hash },
        ],
      }),
      /users\[1\]\.name: a second user "ANN"/,
    ],
  ])("tells the place of %s", (_why, text, words) => {
    const fault = faultOf(() => parseUsers(text, "f"));
    expect(fault.code).toBe("users.unreadable");
    expect(fault.message).toMatch(words);
    // A hash, or what somebody wrote in its place, is in no log.
    expect(fault.message).not.toContain("secret");
  });
});

describe("what a user may have", () => {
  test.each([
    ["one character", "a", true],
    ["as long as may be", "a".repeat(userNameOctetsMax), true],
    ["longer", "a".repeat(userNameOctetsMax + 1), false],
    ["nothing", "", false],
    ["a blank", "a b", false],
    ["NUL", "a\0b", false],
    ["letters beyond ASCII", "jörg", true],
  ])("a name of %s: %s", (_why, name, taken) => {
    if (taken) expect(checkUserName(name)).toBe(name);
    else expect(faultOf(() => checkUserName(name)).code).toBe("user.invalid");
  });

  test.each([
    ["a mailbox", "ann@example.org", "ann@example.org"],
    ["a domain", "*@Example.ORG", "*@example.org"],
    ["an international domain", "*@bücher.example", "*@xn--bcher-kva.example"],
    ["a part of a local part", "a*@example.org", "a*@example.org"],
    ["every address there is", "*@*", undefined],
    ["a star before a local part", "*ann@example.org", undefined],
    ["no domain", "ann", undefined],
  ])("an address: %s", (_why, text, expected) => {
    if (expected === undefined) expect(faultOf(() => checkUserAddress(text)).code).toBe("user.invalid");
    else expect(checkUserAddress(text)).toBe(expected);
  });

  test("as many addresses as the file may have, and one more", () => {
    const most = Array.from({ length: addressesMax }, (_, i) => `a${i}@example.org`);
    expect(checkUserAddresses(most)).toEqual(most);
    const fault = faultOf(() => checkUserAddresses([...most, "b@example.org"]));
    expect([fault.code, fault.message]).toEqual([
      "user.invalid",
      "Cannot take 1001 addresses for a user: expected a list of at most 1000 addresses",
    ]);
    expect(() => parseUsers(document({ addresses: [...most, "b@example.org"] }), "f")).toThrow(
      "expected a list of at most 1000 addresses",
    );
  });

  test("a rate", () => {
    expect(checkUserRate("100/1h")).toEqual({ times: 100, withinMs: 3_600_000 });
    expect(faultOf(() => checkUserRate("0/1h")).code).toBe("user.invalid");
  });

  test.each([
    ["his name", "Ann@example.org", true],
    ["an address", "ann.smith@EXAMPLE.org", true],
    ["any of a domain", "x@lists.example.org", true],
    ["a domain below it", "x@a.lists.example.org", false],
    ["a domain that ends alike", "x@otherlists.example.org", false],
    ["somebody else's", "eve@example.org", false],
  ])("he may send from %s: %s", (_why, from, may) => {
    expect(maySendFrom(testUsers.get("ann@example.org")!, parseMailbox(from))).toBe(may);
  });
});

describe("the file", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "onarrival-users-"));
    file = join(folder, "users.json");
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const add = (name: string) => changeUsers(file, (users) => new Map([...users, [userKey(name), createUser(name)]]));

  test("is nobody where it is not there, and is made for its owner alone", async () => {
    expect((await readUsers(file)).size).toBe(0);
    await add("ann");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect([...(await readUsers(file)).keys()]).toEqual(["ann"]);
  });

  test("changes that come at once are all in it, and leave nothing beside it", async () => {
    await Promise.all(["a", "b", "c", "d", "e"].map(add));
    expect([...(await readUsers(file)).keys()].sort()).toEqual(["a", "b", "c", "d", "e"]);
    expect(existsSync(`${file}.lock`)).toBe(false);
  });

  test("a change that fails changes nothing, and the next one can be made", async () => {
    await add("ann");
    const before = readFileSync(file);
    await expect(changeUsers(file, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(readFileSync(file)).toEqual(before);
    await add("bob");
  });

  test("what could not be read again is not written", async () => {
    await add("ann");
    const before = readFileSync(file);
    const addresses = Array.from({ length: addressesMax + 1 }, (_, i) => `a${i}@example.org`);
    await expect(changeUsers(file, () => new Map([["x", createUser("x", { addresses })]]))).rejects.toMatchObject({
      code: "users.unreadable",
    });
    expect(readFileSync(file)).toEqual(before);
  });

  test("one that is broken is not written over", async () => {
    writeFileSync(file, "{");
    await expect(add("ann")).rejects.toMatchObject({ code: "users.unreadable" });
    expect(readFileSync(file, "utf8")).toBe("{");
  });

  async function startFile() {
    const [clock, log] = [createFakeClock(), createRecordingLog()];
    const users = new UsersFile({ file, clock, log });
    await users.start();
    return { users, clock, log };
  }

  test("is read again when it has changed, no more than once a second", async () => {
    await add("ann");
    const { users, clock, log } = await startFile();
    await add("bob");
    expect(await users.find("bob")).toBeUndefined();
    await clock.advance(1_000);
    expect(await users.find("BOB")).toMatchObject({ name: "bob" });
    expect(log.of("users.read")).toMatchObject([{ fields: { users: 2 } }]);
    await clock.advance(1_000);
    await users.find("bob");
    expect(log.of("users.read")).toHaveLength(1);
  });

  test("one that is broken, or cannot be read, leaves the users as they were and says so once", async () => {
    await add("ann");
    const { users, clock, log } = await startFile();
    writeFileSync(`${file}.new`, "{");
    renameSync(`${file}.new`, file);
    await clock.advance(1_000);
    expect(await users.find("ann")).toMatchObject({ name: "ann" });
    await clock.advance(1_000);
    await users.find("ann");
    expect(log.of("users.unreadable")).toMatchObject([{ level: "error", fields: { kept: 1 } }]);
    unlinkSync(file);
    await add("carl");
    await users.refresh();
    expect(users.known("ann")).toBeUndefined();
    expect(users.known("carl")).toBeDefined();
  });

  test("says at the start that nobody can log in; a broken one is a fault there", async () => {
    const { log } = await startFile();
    expect(log.of("users.none")).toHaveLength(1);
    writeFileSync(file, "{}");
    chmodSync(file, 0o600);
    await expect(startFile()).rejects.toMatchObject({ code: "users.unreadable" });
  });

  test("the users of a file that was removed are nobody any more", async () => {
    await add("ann");
    const { users, clock } = await startFile();
    unlinkSync(file);
    await clock.advance(1_000);
    expect(await users.find("ann")).toBeUndefined();
  });

  test("a lock whose owner was killed long ago is taken away", async () => {
    writeFileSync(`${file}.lock`, "");
    utimesSync(`${file}.lock`, new Date(0), new Date(0));
    await add("ann");
    expect((await readUsers(file)) satisfies Users).toHaveProperty("size", 1);
  });

  test("a lock that is none is said, and not waited for", async () => {
    mkdirSync(`${file}.lock`);
    await expect(add("ann")).rejects.toThrow("Cannot read the lock");
  });

  test("of two that break an old lock, the slower one leaves the new lock of the faster one", async () => {
    const lock = `${file}.lock`;
    writeFileSync(lock, "the faster one's");
    await breakUsersLock(lock, { token: "of him who was killed", mtimeMs: 0 });
    expect(readdirSync(folder)).toEqual(["users.json.lock"]);
    expect(readFileSync(lock, "utf8")).toBe("the faster one's");
    await breakUsersLock(lock, { token: "the faster one's", mtimeMs: statSync(lock).mtimeMs });
    await breakUsersLock(lock, { token: "the faster one's", mtimeMs: 0 });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("who stood still so long that his lock was broken changes what the other one made of the file", async () => {
    let asked = 0;
    await changeUsers(file, async (users) => {
      asked++;
      if (asked === 1) {
        unlinkSync(`${file}.lock`);
        await add("bob");
      }
      return new Map([...users, ["ann", createUser("ann")]]);
    });
    expect([asked, [...(await readUsers(file)).keys()].sort()]).toEqual([2, ["ann", "bob"]]);
    expect(readdirSync(folder)).toEqual(["users.json"]);
  });

  test("nobody takes away a lock that is another's by now", async () => {
    const failed = changeUsers(file, () => {
      writeFileSync(`${file}.lock`, "another's");
      throw new Error("no");
    });
    await expect(failed).rejects.toThrow("no");
    expect(readFileSync(`${file}.lock`, "utf8")).toBe("another's");
  });

  test("knows a hash of the kind most users have, and tells whether others hold now", async () => {
    await add("ann");
    const { users } = await startFile();
    expect(users.usualHash).toBe(createUser("ann").password);
    expect([await users.refresh(), users.size]).toEqual([false, 1]);
    await add("bob");
    expect([await users.refresh(), users.size]).toEqual([true, 2]);
    writeFileSync(`${file}.new`, "{");
    renameSync(`${file}.new`, file);
    expect([await users.refresh(), users.size]).toEqual([false, 2]);
  });
});
