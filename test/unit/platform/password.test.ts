/** Passwords: what a hash is, what is checked, and how many at a time. */
import { describe, expect, test } from "vitest";
import {
  hashPassword,
  PasswordChecks,
  parsePasswordHash,
  passwordLengthMin,
  passwordOctetsMax,
  passwordProblem,
  usualHash,
} from "../../../src/platform/password.ts";
import { cheapHash } from "../../support/submission-users.ts";

describe("hashPassword", () => {
  test("makes a PHC string with the parameters of OWASP, another one each time, that only its password matches", async () => {
    const [one, other] = await Promise.all([hashPassword("Grüße an alle"), hashPassword("Grüße an alle")]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(one).not.toBe(other);
    const checks = new PasswordChecks();
    // The same letters, written with a combining character.
    expect(await checks.check("Gru\u0308ße an alle", one)).toBe(true);
    expect(await checks.check("Grüße an Alle", one)).toBe(false);
  });
});

describe("parsePasswordHash", () => {
  const salt = "c2FsdHNhbHRzYWx0c2FsdA";
  const tag = "c2FsdHNhbHRzYWx0c2FsdA";
  test.each([
    ["our own kind", `$argon2id$v=19$m=19456,t=2,p=1$${salt}$${tag}`, true],
    ["as much memory as there may be", `$argon2id$v=19$m=262144,t=2,p=1$${salt}$${tag}`, true],
    ["more memory", `$argon2id$v=19$m=262145,t=2,p=1$${salt}$${tag}`, false],
    ["as little memory as there may be", `$argon2id$v=19$m=16,t=2,p=2$${salt}$${tag}`, true],
    ["less", `$argon2id$v=19$m=15,t=2,p=2$${salt}$${tag}`, false],
    ["as many passes as there may be", `$argon2id$v=19$m=64,t=16,p=1$${salt}$${tag}`, true],
    ["more passes", `$argon2id$v=19$m=64,t=17,p=1$${salt}$${tag}`, false],
    ["as many lanes as there may be", `$argon2id$v=19$m=64,t=1,p=8$${salt}$${tag}`, true],
    ["more lanes", `$argon2id$v=19$m=128,t=1,p=9$${salt}$${tag}`, false],
    ["no pass at all", `$argon2id$v=19$m=64,t=0,p=1$${salt}$${tag}`, false],
    ["another kind", `$argon2i$v=19$m=64,t=1,p=1$${salt}$${tag}`, false],
    ["crypt", "$6$salt$hash", false],
    ["plain text", "secret", false],
    ["no tag", `$argon2id$v=19$m=64,t=1,p=1$${salt}`, false],
  ])("%s: %s", (_why, text, isOne) => {
    expect(parsePasswordHash(text) !== undefined).toBe(isOne);
  });
});

describe("passwordProblem", () => {
  test.each([
    ["at the least length", "abcdefghijkl".slice(0, passwordLengthMin), undefined],
    ["below it", "abcdefghijk", /shorter than 12/],
    ["empty", "", /shorter/],
    ["as many octets as there may be", "abcd".repeat(passwordOctetsMax / 4), undefined],
    ["one more", `${"abcd".repeat(passwordOctetsMax / 4)}e`, /longer/],
    ["a control character", "abcdefghijk\u0007l", /control/],
    ["one letter again and again", "aaaaaaaaaaaaaaaa", /fewer than four/],
    ["letters of four octets", "\u{1F600}\u{1F601}\u{1F602}\u{1F603}".repeat(3), undefined],
  ])("%s", (_why, password, words) => {
    if (words === undefined) expect(passwordProblem(password)).toBeUndefined();
    else expect(passwordProblem(password)).toMatch(words);
  });
});

describe("usualHash", () => {
  const [strong, weak] = ["$argon2id$v=19$m=65536,t=3,p=4$", "$argon2id$v=19$m=19456,t=2,p=1$"];
  test.each<[why: string, hashes: string[], usual: string | null]>([
    ["nobody", [], null],
    ["one", [`${weak}a$b`], `${weak}a$b`],
    ["more of one kind", [`${weak}a$b`, `${strong}c$d`, `${strong}e$f`, `${weak}g$h`, `${strong}i$j`], `${strong}i$j`],
  ])("of %s", (_why, hashes, usual) => {
    expect(usualHash(hashes)).toBe(usual);
  });
});

describe("PasswordChecks", () => {
  test("nobody takes as long as those whose hash is given", async () => {
    const checks = new PasswordChecks();
    const salt = "c2FsdHNhbHRzYWx0c2FsdA";
    const timeOf = async (usual: string | null) => {
      let leastMs = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 3; i++) {
        const began = performance.now();
        expect(await checks.check("x", null, usual)).toBe(false);
        leastMs = Math.min(leastMs, performance.now() - began);
      }
      return leastMs;
    };
    const cheap = await timeOf(cheapHash("x"));
    const dear = await timeOf(`$argon2id$v=19$m=65536,t=4,p=1$${salt}$${salt}`);
    // Some seven times the work of a new hash, and 30,000 times that of the cheap one.
    expect(dear / cheap).toBeGreaterThan(5);
    expect(await timeOf(null)).toBeLessThan(dear);
  });

  test("nobody's hash is never matched, not by the empty password either", async () => {
    const checks = new PasswordChecks();
    expect(await checks.check("", null)).toBe(false);
    expect(await checks.check("x", "no hash")).toBe(false);
  });

  test("a password of as many octets as there may be is checked, a longer one never matches", async () => {
    const checks = new PasswordChecks();
    const longest = "x".repeat(passwordOctetsMax);
    expect(await checks.check(longest, cheapHash(longest))).toBe(true);
    expect(await checks.check(`${longest}x`, cheapHash(`${longest}x`))).toBe(false);
    expect(await checks.check(`${longest}x`, cheapHash(""))).toBe(false);
  });

  test("what is more than may wait is busy at once; those that wait are all checked", async () => {
    const checks = new PasswordChecks({ concurrency: 2, waitingMax: 3 });
    const hash = cheapHash("right");
    const answers = await Promise.all(
      ["right", "wrong", "right", "wrong", "right", "right"].map((one) => checks.check(one, hash)),
    );
    expect(answers).toEqual([true, false, true, false, true, "busy"]);
    expect(await Promise.all([1, 2, 3, 4, 5].map(() => checks.check("right", hash)))).toEqual(Array(5).fill(true));
  });
});
