/** Verification as it is: a thread, mailauth in it, and DNS by the main thread's resolver, which is a fake one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { shouldVerify } from "../../../src/inbound/verify.ts";
import { addressOf, lookUpHost } from "../../../src/inbound/verify-dns.ts";
import {
  blanksMax,
  fieldsMax,
  headerOctetsMax,
  linesMax,
  signatureOctetsMax,
  signaturesMax,
  visibleHeader,
} from "../../../src/inbound/verify-work.ts";
import { splitMessage } from "../../../src/mail/header.ts";
import { fileBody } from "../../../src/spool/body-file.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import {
  keyPair,
  keyRecord,
  plainMail,
  records,
  sealed,
  signed,
  toVerify,
  verified,
  verifierWith,
} from "./verify-setup.ts";

const shared = verifierWith();
afterAll(() => shared.verifier.close());
const look = (sent: Parameters<typeof toVerify>[0]) => shared.verifier.verify(toVerify(sent));
const withDns = (txt: Record<string, readonly string[]>) => ({ ...records, txt: { ...records.txt, ...txt } });

describe("createVerifier: SPF", () => {
  const rows: readonly [why: string, sent: Parameters<typeof toVerify>[0], result: string, domain: string][] = [
    ["an address of the domain's", {}, "pass", "example.org"],
    ["another address", { ip: "203.0.113.5" }, "fail", "example.org"],
    ["a domain that is not sure", { from: "<x@soft.example>" }, "softfail", "soft.example"],
    ["a domain without a policy", { from: "<x@example.com>" }, "none", "example.com"],
    ["the null reverse-path asks the HELO name", { from: "<>", helo: "example.org" }, "pass", "example.org"],
    ["a HELO name that is none", { from: "<>", helo: "[198.51.100.7]" }, "none", "[198.51.100.7]"],
    ["IPv6", { ip: "2001:db8::1" }, "fail", "example.org"],
  ];
  test.each(rows)("%s", async (_why, sent, result, domain) => {
    const { spf } = await look(sent);
    expect(spf).toMatchObject({ result, domain, identity: sent.from === "<>" ? "helo" : "mailfrom" });
  });

  test("DNS that fails is temperror, and so is DMARC, for both may pass a minute later", async () => {
    const facts = await verified({ records: { failing: ["example.org", "_dmarc.example.org"] } });
    expect(facts.spf.result).toBe("temperror");
    expect(facts.dmarc.result).toBe("temperror");
  });

  test("a policy that asks for too many look-ups is permerror", async () => {
    const txt = Object.fromEntries(
      Array.from({ length: 12 }, (_, i) => [`i${i}.example.org`, [`v=spf1 include:i${i + 1}.example.org -all`]]),
    );
    const facts = await verified({
      records: withDns({ ...txt, "example.org": ["v=spf1 include:i0.example.org -all"] }),
    });
    expect(facts.spf.result).toBe("permerror");
  });
});

describe("createVerifier: DKIM", () => {
  test("a message without a signature has none", async () => {
    expect((await look({})).dkim).toEqual([]);
  });

  test("a good signature passes and speaks for the From domain", async () => {
    const { dkim } = await look({ mail: await signed() });
    expect(dkim).toEqual([
      {
        result: "pass",
        domain: "example.org",
        selector: "s1",
        algorithm: "rsa-sha256",
        signature: expect.stringMatching(/^[A-Za-z0-9+/]{8}$/),
        aligned: true,
        reason: "",
      },
    ]);
  });

  test("a body another than was signed fails", async () => {
    const { dkim } = await look({ mail: (await signed()).replace("First line", "Other line") });
    expect(dkim[0]).toMatchObject({ result: "fail", aligned: false, reason: "body hash did not verify" });
  });

  test("a field another than was signed fails", async () => {
    expect((await look({ mail: (await signed()).replace("Subject: Hello", "Subject: Hullo") })).dkim[0]!.result).toBe(
      "fail",
    );
  });

  test("a signature whose time is over does not pass", async () => {
    const mail = await signed(plainMail, { signTime: new Date("2020-01-01"), expires: new Date("2020-02-01") });
    expect((await look({ mail })).dkim[0]).toMatchObject({ result: "neutral", reason: "expired" });
  });

  test("a key of 512 bits is worth nothing, of 1,024 something", async () => {
    for (const [bits, result] of [
      [512, "policy"],
      [1024, "pass"],
    ] as const) {
      const pair = keyPair(bits);
      const dns = withDns({ "s1._domainkey.example.org": [keyRecord(pair.publicKey)] });
      const { dkim } = await verified({ mail: await signed(plainMail, { key: pair.privateKey }), records: dns });
      expect(dkim[0]!.result, String(bits)).toBe(result);
    }
  });

  test("a key that is not there is for good, DNS that fails is not", async () => {
    const mail = await signed(plainMail, { domain: "nobody.example" });
    expect((await look({ mail })).dkim[0]).toMatchObject({ result: "neutral", reason: "no key" });
    const failing = await verified({ mail, records: { ...records, failing: ["s1._domainkey.nobody.example"] } });
    expect(failing.dkim[0]!.result).toBe("temperror");
  });

  test("a signature over a part of the body does not pass where there is more of it", async () => {
    const mail = await signed(plainMail, { maxBodyLength: 12 });
    expect((await look({ mail })).dkim[0]!.result).toBe("pass");
    const longer = await look({ mail: `${mail}Buy this\r\n` });
    expect(longer.dkim[0]).toMatchObject({ result: "policy", reason: "only a part of the body is signed" });
    expect(longer.dmarc.alignedBy).toEqual(["spf"]);
  });

  test("a body in a file is read by the thread", async () => {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-verify-"));
    try {
      const text = "A line of a long body\r\n".repeat(20_000);
      const mail = await signed(plainMail.replace("First line\r\n", text));
      const path = join(folder, "body");
      writeFileSync(path, text);
      const file = fileBody(path, text.length);
      const facts = await shared.verifier.verify({ ...toVerify({ mail }), body: file });
      expect(facts.dkim[0]!.result).toBe("pass");
      rmSync(path);
      expect((await shared.verifier.verify({ ...toVerify({ mail }), body: file })).dkim[0]!.result).toBe("temperror");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("createVerifier: DMARC", () => {
  const from = (domain: string) => plainMail.replace("ann@example.org", `ann@${domain}`);
  test("one aligned mechanism is enough, and none fails with the domain's policy", async () => {
    expect((await look({})).dmarc).toEqual({
      result: "pass",
      domain: "example.org",
      policy: "reject",
      alignedBy: ["spf"],
      reason: "",
    });
    expect((await look({ from: "<x@soft.example>", mail: await signed() })).dmarc.alignedBy).toEqual(["dkim"]);
    expect((await look({ from: "<x@soft.example>" })).dmarc).toMatchObject({
      result: "fail",
      policy: "reject",
      alignedBy: [],
    });
  });

  test("relaxed alignment takes a domain below, strict does not", async () => {
    const relaxed = await signed(from("example.org"), { domain: "mail.example.org" });
    expect((await look({ from: "<>", mail: relaxed })).dmarc.result).toBe("pass");
    const strict = await signed(from("strict.example"), { domain: "mail.strict.example" });
    expect((await look({ from: "<>", mail: strict })).dmarc).toMatchObject({ result: "fail", policy: "quarantine" });
    const same = await signed(from("strict.example"), { domain: "strict.example" });
    expect((await look({ from: "<>", mail: same })).dmarc.result).toBe("pass");
  });

  test("somebody else's good signature speaks for nobody here", async () => {
    const mail = await signed(plainMail, { domain: "lists.example.net" });
    const { dkim, dmarc } = await look({ from: "<x@soft.example>", mail });
    expect(dkim[0]).toMatchObject({ result: "pass", aligned: false });
    expect(dmarc.result).toBe("fail");
  });

  test("a domain without a policy has none; a From field that is none, or two, cannot be asked about", async () => {
    expect((await look({ mail: from("example.com") })).dmarc).toMatchObject({ result: "none", policy: null });
    expect((await look({ mail: "Subject: x\r\n\r\nx\r\n" })).dmarc).toMatchObject({ result: "permerror", domain: "" });
    const two = `From: eve@example.com\r\n${plainMail}`;
    expect((await look({ mail: two })).dmarc).toMatchObject({ result: "permerror", reason: "multiple-from-fields" });
  });
});

describe("createVerifier: ARC", () => {
  test("a chain that holds passes and names its sealers; one whose message was changed fails", async () => {
    const mail = await sealed(await signed());
    expect((await look({ mail })).arc).toEqual({ result: "pass", sealers: ["lists.example.net"] });
    expect((await look({ mail: mail.replace("First line", "Other line") })).arc.result).toBe("fail");
    expect((await look({ mail: mail.replace("i=1; a=rsa-sha256", "i=2; a=rsa-sha256") })).arc.result).toBe("fail");
    expect((await look({})).arc).toEqual({ result: "none", sealers: [] });
  });
});

describe("createVerifier: the client's name", () => {
  const clock = createFakeClock();
  test.each([
    ["it leads back", "198.51.100.7", "pass", "mx.example.org"],
    ["it leads elsewhere", "198.51.100.8", "fail", null],
    ["there is none", "198.51.100.9", "permerror", null],
  ] as const)("%s", async (_why, ip, result, host) => {
    expect(await lookUpHost(createFakeResolver(records, clock), ip)).toEqual({ result, host });
  });

  test("an IPv6 address in another spelling is the same one", async () => {
    const dns = { ptr: { "2001:db8::1": ["a.example"] }, aaaa: { "a.example": ["2001:0DB8:0:0::1"] } };
    expect((await lookUpHost(createFakeResolver(dns, clock), "2001:db8::1")).result).toBe("pass");
  });

  test.each([
    ["7.2.0.192.in-addr.arpa", "192.0.2.7"],
    [`${"1".padEnd(1)}.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`, "2001:0db8:0000:0000:0000:0000:0000:0001"],
    ["1.2.3.in-addr.arpa", undefined],
    ["example.org", undefined],
  ])("addressOf(%s)", (name, ip) => {
    expect(addressOf(name)).toBe(ip);
  });
});

describe("createVerifier: what is hostile or too much", () => {
  test("starts nothing before the first message, and answers temperror once it is closed", async () => {
    const { verifier, resolver } = verifierWith();
    expect(resolver.asked).toEqual([]);
    await verifier.close();
    const facts = await verifier.verify(toVerify({ mail: await sealed(await signed()) }));
    expect([facts.spf.result, facts.dkim[0]!.result, facts.dmarc.result, facts.arc.result]).toEqual(
      Array(4).fill("temperror"),
    );
  });

  test("a hundred thousand fields cost no signature check and do not hide a forged From", async () => {
    const many = (await signed()).replace("Subject: Hello\r\n", `Subject: Hello\r\n${"X: y\r\n".repeat(100_000)}`);
    const { dkim, dmarc } = await look({ from: "<x@soft.example>", mail: many });
    expect(dkim).toMatchObject([{ result: "policy", reason: "the header is too large to look for signatures" }]);
    expect(dmarc).toMatchObject({ result: "fail", domain: "example.org" });
  });

  test("a hundred signatures: the first ten are looked at", async () => {
    const [signature] = (await signed()).split("From: ");
    const { dkim } = await look({ mail: signature!.repeat(100) + plainMail });
    expect(dkim.length).toBe(signaturesMax);
    const { header } = splitMessage(Buffer.from(signature!.repeat(100) + plainMail));
    expect(visibleHeader(header).header.count("DKIM-Signature")).toBe(signaturesMax);
  });

  test("visibleHeader: at each limit all is seen, above it From alone", () => {
    const from = "From: a@b.example\r\n";
    const of = (text: string) => visibleHeader(splitMessage(Buffer.from(`${from}${text}\r\n`)).header);
    const rows: readonly [what: string, text: (size: number) => string, max: number][] = [
      ["fields", (fields) => "X: y\r\n".repeat(fields - 1), fieldsMax],
      ["octets", (octets) => `X: ${"y".repeat(octets - from.length - 5)}\r\n`, headerOctetsMax],
      ["lines", (lines) => `X: y\r\n${" z\r\n".repeat(lines - 2)}`, linesMax],
      ["blanks", (blanks) => `X: a${" ".repeat(blanks)}b\r\n`, blanksMax],
      [
        "blanks and folds",
        (blanks) => `X: a${"\r\n ".repeat(Math.floor(blanks / 3))}${" ".repeat(blanks % 3)}b\r\n`,
        blanksMax,
      ],
    ];
    for (const [what, text, max] of rows) {
      expect(of(text(max)).cut, what).toBe(false);
      const above = of(text(max + 1));
      expect(above.cut, what).toBe(true);
      expect(above.header.fields.map(({ name }) => name)).toEqual(["From"]);
    }
    const signature = (octets: number) => `DKIM-Signature: ${"a".repeat(octets - 18)}\r\n`;
    expect(of(signature(signatureOctetsMax)).header.has("DKIM-Signature")).toBe(true);
    expect(of(signature(signatureOctetsMax + 1)).header.has("DKIM-Signature")).toBe(false);
  });

  test.each([
    ["lines in a field", `X: y${"\r\n z".repeat(60_000)}\r\n`],
    ["blanks in a name", `X${" ".repeat(200_000)}y: a\r\n`],
    ["blanks in a signature", `DKIM-Signature: v=1; a${" ".repeat(8_000)}b=c\r\n`.repeat(10)],
    [
      "names in a signature",
      `DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; h=from:${"z:".repeat(3_900)}; bh=x; b=x\r\n`.repeat(10),
    ],
    ["groups in From", `From: ${"a:b,".repeat(30_000)}\r\n`],
    ["comments in From", `From: ${"(".repeat(100_000)}\r\n`],
  ])("no header takes long: %s", async (_why, field) => {
    const begun = performance.now();
    const { spf } = await look({ mail: field + "X: y\r\n".repeat(900) + plainMail });
    expect(spf.result).toBe("pass");
    expect(performance.now() - begun).toBeLessThan(3_000);
  });

  test("DNS that never answers costs a message its time and no more", async () => {
    const log = createRecordingLog();
    const silent = { silent: ["example.org", "_dmarc.example.org", "198.51.100.7"] };
    const begun = performance.now();
    const facts = await verified({ records: silent, options: { timeoutMs: 300, log } });
    expect(performance.now() - begun).toBeLessThan(2_500);
    expect([facts.spf.result, facts.dmarc.result, facts.iprev.result]).toEqual(["temperror", "temperror", "temperror"]);
    expect(log.of("verify.failed")).toMatchObject([{ level: "warn", fields: { why: "timeout", messages: 1 } }]);
  });

  test("too many at a time: those above are not checked, the others are", async () => {
    const { verifier } = verifierWith(records, { waitingMax: 1 });
    const all = await Promise.all(Array.from({ length: 34 }, () => verifier.verify(toVerify({}))));
    await verifier.close();
    expect(all.filter(({ spf }) => spf.result === "pass").length).toBe(33);
    expect(all.filter(({ spf }) => spf.result === "temperror").length).toBe(1);
  });
});

describe("shouldVerify", () => {
  const rows: readonly [
    why: string,
    ip: string,
    user: string | null,
    verify: "off" | "public" | "all",
    expected: boolean,
  ][] = [
    ["a stranger", "198.51.100.7", null, "public", true],
    ["a user", "198.51.100.7", "ann", "all", false],
    ["switched off", "198.51.100.7", null, "off", false],
    ["our own network", "10.1.2.3", null, "public", false],
    ["our own network where all are checked", "10.1.2.3", null, "all", true],
    ["loopback in its IPv6 form", "::ffff:127.0.0.1", null, "public", false],
    ["a unique local address", "fd00::1", null, "public", false],
    ["beside a private block", "172.32.0.1", null, "public", true],
    ["public IPv6", "2001:db8::1", null, "public", true],
  ];
  test.each(rows)("%s", (_why, ip, user, verify, expected) => {
    expect(shouldVerify({ ip, user }, verify)).toBe(expected);
  });
});
