import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readExtensions } from "../../../src/smtp/client-extensions.ts";
import { chooseMechanism, createSaslClient } from "../../../src/smtp/client-scram.ts";
import { deriveScramCredentials } from "../../../src/smtp/scram.ts";

describe("chooseMechanism", () => {
  test.each([
    { offered: "AUTH LOGIN PLAIN SCRAM-SHA-256", chosen: "SCRAM-SHA-256" },
    { offered: "AUTH login plain", chosen: "PLAIN" },
    { offered: "AUTH=LOGIN", chosen: "LOGIN" },
    { offered: "AUTH CRAM-MD5 XOAUTH2", chosen: null },
    { offered: "SIZE", chosen: null },
  ])("of $offered: $chosen", ({ offered, chosen }) => {
    expect(chooseMechanism(readExtensions(["name", offered]))).toBe(chosen);
  });
});

describe("createSaslClient: SCRAM-SHA-256", () => {
  // The example of RFC 7677 §3.
  const nonce = "rOprNGfwEbeRWgbNEkqO";
  const first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
  const final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  const create = () => createSaslClient("SCRAM-SHA-256", { user: "user", password: "pencil" }, nonce);

  test("says what the example of RFC 7677 says, and believes the server that answers it", () => {
    const client = create();
    expect(client.initial).toBe(`n,,n=user,r=${nonce}`);
    expect(client.answer(first)).toBe(final);
    expect(client.complete).toBe(false);
    expect(client.answer("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")).toBe("");
    expect(client.complete).toBe(true);
    expect(() => client.answer("v=more")).toThrow("asks for more");
  });

  test.each([
    { why: "a nonce that is not ours", challenge: first.replace("r=r", "r=x"), words: "nonce" },
    { why: "our nonce and nothing of its own", challenge: `r=${nonce},s=W22Z,i=4096`, words: "nonce" },
    { why: "too few iterations", challenge: first.replace("4096", "4095"), words: "4095 SCRAM iterations" },
    { why: "too many iterations", challenge: first.replace("4096", "200001"), words: "200001 SCRAM iterations" },
    { why: "no challenge", challenge: "hello", words: "cannot be read" },
    { why: "an extension that must be understood", challenge: `m=x,${first}`, words: "cannot be read" },
  ])("does not go on with $why", ({ challenge, words }) => {
    expect(() => create().answer(challenge)).toThrow(words);
  });

  test.each([
    { why: "a wrong signature", answer: `v=${Buffer.alloc(32).toString("base64")}` },
    { why: "a short one", answer: "v=AAAA" },
    { why: "an error", answer: "e=other-error" },
  ])("does not believe a server with $why", ({ answer }) => {
    const client = create();
    client.answer(first);
    expect(() => client.answer(answer)).toThrow("not the server we mean");
  });

  test("proves a password to credentials that were derived from it, a user with commas and equals signs too", () => {
    const client = createSaslClient("SCRAM-SHA-256", { user: "a=b,c", password: "pässword" }, nonce);
    expect(client.initial).toBe(`n,,n=a=3Db=2Cc,r=${nonce}`);
    const { salt, iterations, serverKey } = deriveScramCredentials("pässword", { salt: Buffer.from("salt") });
    const challenge = `r=${nonce}x,s=${salt.toString("base64")},i=${iterations}`;
    const answer = client.answer(challenge);
    const signed = `${client.initial!.slice(3)},${challenge},${answer.replace(/,p=.*/, "")}`;
    const signature = createHmac("sha256", serverKey).update(signed).digest("base64");
    expect(client.answer(`v=${signature}`)).toBe("");
  });
});

describe("createSaslClient: passwords", () => {
  test("PLAIN says it with the command", () => {
    const client = createSaslClient("PLAIN", { user: "ann", password: "secret" });
    expect(client.initial).toBe("\0ann\0secret");
    expect(() => client.answer("")).toThrow("asks for more");
  });

  test("LOGIN answers two questions and no third", () => {
    const client = createSaslClient("LOGIN", { user: "ann", password: "secret" });
    expect([client.initial, client.answer("Username:"), client.answer("Password:")]).toEqual([null, "ann", "secret"]);
    expect(() => client.answer("Again:")).toThrow("asks for more");
  });
});
