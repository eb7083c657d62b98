import { describe, expect, test } from "vitest";
import { type AuthFacts, authSummary } from "../../../src/mail/auth-facts.ts";
import {
  createResultsField,
  readAuthservId,
  withAuthenticationResults,
  withoutResultsOf,
} from "../../../src/mail/authentication-results.ts";
import { fieldValue, splitMessage } from "../../../src/mail/header.ts";
import { nothingPassed } from "../../support/rule-facts.ts";

const facts: AuthFacts = {
  spf: { result: "pass", domain: "example.org", identity: "mailfrom" },
  dkim: [
    {
      result: "pass",
      domain: "example.org",
      selector: "s1",
      algorithm: "rsa-sha256",
      signature: "abc+/de9",
      aligned: true,
      reason: "",
    },
    { result: "fail", domain: "", selector: "", algorithm: "", signature: "", aligned: false, reason: 'no "key"' },
  ],
  dmarc: { result: "pass", domain: "example.org", policy: "reject", alignedBy: ["spf", "dkim"], reason: "" },
  arc: { result: "none", sealers: [] },
  iprev: { result: "pass", host: "mx.example.org" },
};

const headerOf = (text: string) => splitMessage(Buffer.from(`${text}\r\n`)).header;
const text = (header: { readonly octets: Buffer }) => header.octets.toString("latin1");

describe("createResultsField", () => {
  test("writes a result a line", () => {
    expect(createResultsField("mx.example.test", facts).octets.toString()).toBe(
      [
        "Authentication-Results: mx.example.test;",
        " spf=pass smtp.mailfrom=example.org;",
        ' dkim=pass header.d=example.org header.s=s1 header.a=rsa-sha256 header.b="abc+/de9";',
        ' dkim=fail reason="no \\"key\\"";',
        " dmarc=pass (p=reject) header.from=example.org;",
        " arc=none;",
        " iprev=pass (mx.example.org)",
        "",
      ].join("\r\n"),
    );
  });

  test("says dkim=none without a signature, and smtp.helo for the null reverse-path", () => {
    const field = createResultsField("mx.example.test", {
      ...nothingPassed,
      spf: { result: "none", domain: "[192.0.2.7]", identity: "helo" },
    });
    expect(fieldValue(field)).toBe(
      'mx.example.test; spf=none smtp.helo="[192.0.2.7]"; dkim=none; dmarc=none; arc=none; iprev=permerror',
    );
  });

  test("other people's words end neither the field nor a result, and have a bound", () => {
    const hostile = 'x"; dmarc=pass\r\nX-Evil: 1\\\u0000ä';
    const signature = { ...facts.dkim[0]!, domain: hostile, selector: "s".repeat(10_000), reason: hostile };
    const quotes = '"'.repeat(300);
    const long = { ...signature, domain: quotes, selector: quotes, algorithm: quotes, reason: quotes };
    const { octets } = createResultsField("mx.example.test", {
      ...facts,
      dkim: [signature, long],
      dmarc: { ...facts.dmarc, domain: hostile },
      iprev: { result: "pass", host: "a) dmarc=pass (\r\nX: " },
    });
    const { header } = splitMessage(Buffer.concat([octets, Buffer.from("\r\n")]));
    expect(header.fields.map(({ name }) => name)).toEqual(["Authentication-Results"]);
    const unquoted = fieldValue(header.fields[0]!)
      .replace(/"(?:[^"\\]|\\.)*"/g, '""')
      .replace(/\([^()]*\)/g, "");
    expect(unquoted.match(/dmarc=/g)).toHaveLength(1);
    expect(
      Math.max(
        ...octets
          .toString("latin1")
          .split("\r\n")
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(998);
  });
});

describe("withAuthenticationResults", () => {
  test("stands above everything, and is the only one of ours; other fields keep their octets", () => {
    const received = "Received: from x\r\n";
    const others =
      "Authentication-Results:  mx.example.org;\r\n\tspf=pass\r\nARC-Authentication-Results: i=1; mx.example.test; spf=pass\r\nSubject:  x \r\n";
    const forged =
      "Authentication-Results: mx.example.test; dmarc=pass\r\nauthentication-results: MX.Example.Test 1;\r\n dkim=pass\r\n";
    const header = withAuthenticationResults(headerOf(received + forged + others), "mx.example.test", facts);
    expect(text(header)).toBe(createResultsField("mx.example.test", facts).octets.toString() + received + others);
  });

  test("two fields of another host's stay two", () => {
    const two = "Authentication-Results: a.example; spf=pass\r\nAuthentication-Results: a.example; dkim=pass\r\n";
    expect(withAuthenticationResults(headerOf(two), "mx.example.test", facts).count("Authentication-Results")).toBe(3);
  });
});

describe("withoutResultsOf", () => {
  const rows: readonly [why: string, value: string, stays: boolean][] = [
    ["ours", "mx.example.test; spf=pass", false],
    ["ours in capitals, with a dot", "MX.EXAMPLE.TEST.; spf=pass", false],
    ["ours in quotes", '"mx.example.test"; spf=pass', false],
    ["ours in quotes, with backslashes", '"mx\\.example.test"; spf=pass', false],
    ["ours behind a comment", "(a (b;c) \\) d) mx.example.test; spf=pass", false],
    ["ours before a comment", "mx.example.test(x); spf=pass", false],
    ["ours with a version", "mx.example.test 1; spf=pass", false],
    ["ours with a version the old way", "mx.example.test/1; spf=pass", false],
    ["ours with control characters", "mx.exa\u0001mple.test\u0000; spf=pass", false],
    ["ours with control characters in quotes", '"mx.example.test\u0007"; spf=pass', false],
    ["ours with what is not seen in it", "mx.exa\u200bmple.test; spf=pass", false],
    ["ours alone", "mx.example.test", false],
    ["a comment that is never closed", "(mx.example.test; spf=pass", false],
    ["quotes that are never closed", '"mx.example.test; spf=pass', false],
    ["nothing", "", false],
    ["a host below ours", "a.mx.example.test; spf=pass", true],
    ["a host that ends like ours", "badmx.example.test; spf=pass", true],
    ["ours in a result only", "a.example; spf=pass smtp.mailfrom=mx.example.test", true],
  ];
  test.each(rows)("%s", (_why, value, stays) => {
    const header = headerOf(`Subject: x\r\nAuthentication-Results: ${value}\r\n`);
    expect(withoutResultsOf(header, "mx.example.test").has("Authentication-Results")).toBe(stays);
  });

  test("a name beyond ASCII is the same in either form", () => {
    const header = headerOf("Authentication-Results: mx.bücher.example; spf=pass\r\n");
    expect(withoutResultsOf(header, "mx.xn--bcher-kva.example").has("Authentication-Results")).toBe(false);
  });

  test("a header without any is the same object", () => {
    const header = headerOf("Subject: x\r\n");
    expect(withoutResultsOf(header, "mx.example.test")).toBe(header);
  });
});

test("readAuthservId takes no time over a long value", () => {
  const begun = performance.now();
  expect(readAuthservId("(".repeat(1_000_000))).toBeNull();
  expect(readAuthservId(`${"x".repeat(1_000_000)};`)?.length).toBe(1_000);
  expect(performance.now() - begun).toBeLessThan(1_000);
});

test("authSummary names the best of several signatures", () => {
  expect(authSummary({ ...facts, dkim: facts.dkim.toReversed() })).toEqual({
    spf: "pass",
    dkim: "pass",
    dmarc: "pass",
    arc: "none",
  });
  expect(authSummary(nothingPassed).dkim).toBe("none");
});
