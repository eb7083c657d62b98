/** Look-ups for scripts: what DNS says, what it does not have, and what it does not answer. */
import { describe, expect, it } from "vitest";
import { isListed, lookUp } from "../../../src/scripting/calls-dns.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";

const names = createFakeResolver(
  {
    a: {
      "mx.example.org": ["192.0.2.1", "192.0.2.2"],
      "2.0.0.127.zen.example.org": ["127.0.0.2", "127.0.0.4"],
      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example.org": ["127.0.0.3"],
      "bad.example.com.dbl.example.org": ["127.0.1.2"],
      "3.0.0.127.zen.example.org": ["127.255.255.254"],
      "4.0.0.127.zen.example.org": ["192.0.2.9"],
    },
    aaaa: { "mx.example.org": ["2001:db8::1"] },
    mx: {
      "example.org": [
        { preference: 20, host: "b.example.org" },
        { preference: 10, host: "a.example.org" },
      ],
    },
    txt: {
      "_dmarc.example.org": ["v=DMARC1; p=none"],
      "2.0.0.127.zen.example.org": ["See https://example.org/2", "and more"],
    },
    ptr: { "192.0.2.1": ["mx.example.org"] },
    failing: ["broken.example.org", "5.0.0.127.zen.example.org"],
  },
  createFakeClock(),
);

describe("lookUp", () => {
  it.each([
    ["IPv4 addresses", "A", "mx.example.org", ["192.0.2.1", "192.0.2.2"]],
    ["IPv6 addresses", "AAAA", "MX.example.org.", ["2001:db8::1"]],
    [
      "mail exchangers",
      "MX",
      "example.org",
      [
        { preference: 10, host: "a.example.org" },
        { preference: 20, host: "b.example.org" },
      ],
    ],
    ["texts", "TXT", "_dmarc.example.org", ["v=DMARC1; p=none"]],
    ["names of an address", "PTR", "192.0.2.1", ["mx.example.org"]],
    ["nothing where there is no such name", "A", "none.example.org", []],
    ["nothing where there is no such record", "MX", "mx.example.org", []],
  ] as const)("gives %s", async (_why, type, name, value) => {
    expect(await lookUp({ kind: "dns", type, name }, names)).toEqual({ ok: true, value });
  });

  it.each([
    ["a server that does not answer", "A", "broken.example.org", "unanswered"],
    ["a name that is none", "A", "a b.example", "invalid"],
    ["an empty label", "TXT", "a..example", "invalid"],
    ["a label of 64 characters", "A", `${"a".repeat(64)}.example`, "invalid"],
    ["a name in the place of an address", "PTR", "example.org", "invalid"],
  ] as const)("is an error for %s", async (_why, type, name, code) => {
    expect(await lookUp({ kind: "dns", type, name }, names)).toMatchObject({ ok: false, code });
  });

  it("takes a label of 63 characters", async () => {
    expect(await lookUp({ kind: "dns", type: "A", name: `${"a".repeat(63)}.example` }, names)).toEqual({
      ok: true,
      value: [],
    });
  });
});

describe("isListed", () => {
  const ask = (subject: string, list = "zen.example.org") => isListed({ kind: "dns.listed", list, subject }, names);

  it.each([
    [
      "an IPv4 address",
      "127.0.0.2",
      "zen.example.org",
      { addresses: ["127.0.0.2", "127.0.0.4"], reason: "See https://example.org/2; and more" },
    ],
    [
      "an IPv4 address inside IPv6",
      "::ffff:127.0.0.2",
      "ZEN.example.org.",
      { addresses: ["127.0.0.2", "127.0.0.4"], reason: "See https://example.org/2; and more" },
    ],
    ["an IPv6 address", "2001:db8::1", "zen.example.org", { addresses: ["127.0.0.3"], reason: "" }],
    ["a domain", "Bad.example.com", "dbl.example.org", { addresses: ["127.0.1.2"], reason: "" }],
    ["one that is not listed", "192.0.2.1", "zen.example.org", null],
    ["a list that answers for all names", "127.0.0.4", "zen.example.org", null],
  ])("tells of %s", async (_why, subject, list, value) => {
    expect(await ask(subject, list)).toEqual({ ok: true, value });
  });

  it.each([
    ["a list that refuses to answer us", "127.0.0.3", "unanswered"],
    ["a server that does not answer", "127.0.0.5", "unanswered"],
    ["what is neither address nor domain", "a b", "invalid"],
  ])("is an error for %s", async (_why, subject, code) => {
    expect(await ask(subject)).toMatchObject({ ok: false, code });
  });
});
