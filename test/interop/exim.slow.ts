/** Exim and OnArrival send each other mail: by BDAT, with PRDR, over TLS, by LMTP, logged in; every octet arrives as it was sent. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { Exim } from "../support/peers/exim.ts";
import { account, InteropSite } from "../support/peers/interop-site.ts";
import {
  difference,
  idsOf,
  largeSample,
  manySamples,
  plainSample,
  sampleMails,
  traceOf,
} from "../support/peers/sample-mail.ts";
import { submit, submitAtOnce } from "../support/peers/submit.ts";
import { WireTap } from "../support/peers/wire-tap.ts";
import { waitFor } from "../support/site.ts";

describeWith(["exim"], "Exim", () => {
  let site: InteropSite;
  let exim: Exim;
  /** Between Exim and our listeners in the clear. */
  let intoClear: WireTap;
  let intoLmtp: WireTap;
  /** Between us and Exim. */
  let out: WireTap;

  beforeAll(async () => {
    out = await WireTap.to(0);
    site = await InteropSite.start({ smarthost: `host = "localhost"\nport = ${out.port}` });
    intoClear = await WireTap.to(site.ports.clear);
    intoLmtp = await WireTap.to(site.ports.lmtp);
    const { ports } = site;
    const inClear = { hosts_avoid_tls: "*" };
    const verified = { hosts_require_tls: "*", tls_verify_certificates: "OUR_AUTHORITY", tls_verify_hosts: "*" };
    const login = { ...verified, hosts_require_auth: "*" };
    exim = await Exim.start({
      routes: {
        "clear.test": { port: intoClear.port, options: { ...inClear, hosts_try_prdr: "" } },
        "prdr.test": { port: intoClear.port, options: { ...inClear, hosts_try_prdr: "*" } },
        "data.test": { port: intoClear.port, options: { ...inClear, hosts_try_chunking: "", hosts_try_prdr: "" } },
        "starttls.test": { port: ports.starttls, options: verified },
        "implicit.test": { port: ports.implicit, options: { ...verified, protocol: "smtps" } },
        "lmtp.test": { port: intoLmtp.port, options: { ...inClear, protocol: "lmtp" } },
        "plain.test": { port: ports.submission, options: login },
        "login.test": { port: ports.submissions, options: { ...login, protocol: "smtps" } },
        "example.test": { port: ports.clear, options: inClear },
      },
      user: account,
    });
    out.leadTo(exim.ports.clear);
  });
  afterAll(async () => {
    await exim?.remove();
    await site?.remove();
    for (const tap of [intoClear, intoLmtp, out]) await tap?.close();
  });

  describe("sends to OnArrival", () => {
    const ways = [
      { why: "in the clear, by BDAT", domain: "clear.test", protocol: "ESMTP" },
      { why: "in the clear, by DATA", domain: "data.test", protocol: "ESMTP" },
      { why: "by STARTTLS, our certificate verified", domain: "starttls.test", protocol: "ESMTPS" },
      { why: "by TLS from the first octet", domain: "implicit.test", protocol: "ESMTPS" },
      { why: "by LMTP", domain: "lmtp.test", protocol: "LMTP" },
      { why: "logged in by PLAIN", domain: "plain.test", protocol: "ESMTPSA" },
      { why: "logged in over TLS from the first octet", domain: "login.test", protocol: "ESMTPSA" },
    ];
    test.each(ways)("$why, every message as it was", async ({ domain, protocol }) => {
      const samples = [...sampleMails(`exim-to-${domain}`), largeSample(`exim-to-${domain}`)];
      await submit(exim.ports.clear, { to: [`samples@${domain}`], samples });
      for (const sample of samples) {
        const received = await site.received(sample.id);
        expect(difference(sample, received)).toBeNull();
        expect(traceOf(received)[2]).toMatch(new RegExp(`^Received: from exim\\.test .* with ${protocol} id `));
      }
    });

    test("pipelined, with SIZE and BDAT", async () => {
      const sample = plainSample("exim-pipelines");
      await submit(exim.ports.clear, { to: ["pipelined@clear.test"], samples: [sample] });
      await site.received(sample.id);
      const session = intoClear.sessionWith(sample.id);
      expect(session.client).toMatch(/^MAIL FROM:<sender@example\.org> SIZE=\d+\r$/m);
      expect(session.pipelined(/^MAIL FROM/m, /^RCPT TO:<.*\r\nBDAT \d+ LAST\r\n/m)).toBe(true);
    });

    test("200 messages at once, each of them once", async () => {
      const samples = manySamples("many-exim", 200);
      await submitAtOnce(exim.ports.clear, { to: ["many@clear.test"], samples });
      expect(await site.receivedIds("many", 200)).toEqual(idsOf(samples));
    });

    test("an international address by SMTPUTF8", async () => {
      const sample = plainSample("exim-utf8");
      const [from, to] = ["grüße@example.org", "ünïcode@clear.test"] as const;
      await submit(exim.ports.clear, { from, to: [to], samples: [sample], mailParameters: "SMTPUTF8" });
      const received = await site.received(sample.id);
      expect(difference(sample, received)).toBeNull();
      expect(traceOf(received)[1]).toBe(`Delivered-To: ${to}`);
      expect(traceOf(received)[2]).toContain(" with UTF8SMTP id ");
    });

    test("what a DSN is to say", async () => {
      const sample = plainSample("exim-dsn");
      await submit(exim.ports.clear, {
        from: "reports@exim.test",
        to: ["told@clear.test"],
        samples: [sample],
        mailParameters: "RET=HDRS ENVID=envelope+2B1",
        rcptParameters: "NOTIFY=SUCCESS ORCPT=rfc822;first@example.org",
      });
      await site.received(sample.id);
      const { client } = intoClear.sessionWith(sample.id);
      expect(client).toMatch(/^MAIL FROM:<reports@exim\.test> .*RET=HDRS ENVID=envelope\+2B1\r$/m);
      expect(client).toMatch(/^RCPT TO:<told@clear\.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example\.org\r$/m);
      const report = await exim.receivedWhere("reports@exim.test", /report-type=delivery-status/);
      expect(report).toMatch(/^Original-Envelope-Id: envelope\+1\r$/m);
      expect(report).toMatch(/^Original-Recipient: rfc822; ?first@example\.org\r$/m);
      expect(report).toMatch(/^Action: delivered\r$/m);
    });

    test("with PRDR to two, of whom one is refused at the end of data, and learns which", async () => {
      const sample = plainSample("exim-prdr");
      const to = ["taken@prdr.test", "refused@prdr.test"];
      await submit(exim.ports.clear, { from: "asks@exim.test", to, samples: [sample] });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
      const report = await exim.receivedWhere("asks@exim.test", /^X-Failed-Recipients:/m);
      expect(report).toContain("Not this one");
      expect(report).not.toContain("taken@prdr.test");
      const session = intoClear.sessionWith(sample.id);
      expect(session.client).toMatch(/^MAIL FROM:<asks@exim\.test> .*PRDR\r$/m);
      expect(session.server).toMatch(/^353 .*\r\n250 .*\r\n550 5\.7\.1 Not this one\r\n250 /m);
    });

    test("by LMTP to two, of whom one is refused at the end of data, and learns which", async () => {
      const sample = plainSample("exim-lmtp-two");
      const to = ["taken@lmtp.test", "refused@lmtp.test"];
      await submit(exim.ports.clear, { from: "asks-lmtp@exim.test", to, samples: [sample] });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
      const report = await exim.receivedWhere("asks-lmtp@exim.test", /^X-Failed-Recipients:/m);
      expect(report).toContain("Not this one");
      expect(report).not.toContain("taken@lmtp.test");
      const { server } = intoLmtp.sessionWith(sample.id);
      expect(server).toMatch(
        /^(250 2\.0\.0 .*\r\n550 5\.7\.1 Not this one|550 5\.7\.1 Not this one\r\n250 2\.0\.0 .*)\r$/m,
      );
    });
  });

  describe("takes from OnArrival", () => {
    test("200 messages at once, each of them once", async () => {
      out.leadTo(exim.ports.clear);
      exim.clear();
      const samples = manySamples("many-to-exim", 200);
      await submitAtOnce(site.ports.clear, { to: ["many@exim.test"], samples });
      expect(await exim.receivedIds(200)).toEqual(idsOf(samples));
    });

    const ways = [
      { why: "in the clear, by BDAT", port: "clear", protocol: "esmtp", said: /^BDAT \d+ LAST\r$/m },
      { why: "by STARTTLS", port: "starttls", protocol: "esmtps", said: /^STARTTLS\r\n\x16\x03/m },
    ] as const;
    test.each(ways)("$why, every message as it was", async ({ port, protocol, said }) => {
      out.leadTo(exim.ports[port]);
      const samples = [...sampleMails(`to-exim-${port}`), largeSample(`to-exim-${port}`)];
      await submit(site.ports.clear, { to: ["samples@exim.test"], samples });
      for (const sample of samples) {
        const received = await exim.received(sample.id);
        expect(difference(sample, received)).toBeNull();
        expect(traceOf(received).at(-2)).toMatch(new RegExp(`helo=onarrival\\.test.*\\bwith ${protocol} `));
      }
      for (const { client } of out.used) expect(client).toMatch(said);
    });

    test("by TLS from the first octet, every message as it was", async () => {
      const direct = await InteropSite.start({
        smarthost: `host = "127.0.0.1"\nport = ${exim.ports.implicit}\nimplicit_tls = true`,
      });
      try {
        const samples = sampleMails("to-exim-implicit");
        await submit(direct.ports.clear, { to: ["samples@exim.test"], samples });
        for (const sample of samples) {
          const received = await exim.received(sample.id);
          expect(difference(sample, received)).toBeNull();
          expect(traceOf(received).at(-2)).toMatch(/ with esmtps /);
        }
      } finally {
        await direct.remove();
      }
    });

    test("an international address by SMTPUTF8", async () => {
      out.leadTo(exim.ports.clear);
      const sample = plainSample("to-exim-utf8");
      await submit(site.ports.clear, { to: ["ünïcode@exim.test"], samples: [sample], mailParameters: "SMTPUTF8" });
      expect(difference(sample, await exim.received(sample.id))).toBeNull();
      expect(out.sessionWith(sample.id).client).toMatch(/^MAIL FROM:<.*> .*SMTPUTF8\r$/m);
    });

    test("what a DSN is to say, and tells of a delivery that was asked for", async () => {
      out.leadTo(exim.ports.clear);
      const sample = plainSample("to-exim-dsn");
      await submit(site.ports.clear, {
        from: "asks@example.test",
        to: ["told@exim.test"],
        samples: [sample],
        mailParameters: "RET=HDRS ENVID=envelope+2B2",
        rcptParameters: "NOTIFY=SUCCESS ORCPT=rfc822;first@example.org",
      });
      await exim.received(sample.id);
      const { client } = out.sessionWith(sample.id);
      expect(client).toMatch(/^MAIL FROM:<asks@example\.test> .*RET=HDRS ENVID=envelope\+2B2\r$/m);
      expect(client).toMatch(/^RCPT TO:<told@exim\.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example\.org\r$/m);
      const report = (await site.receivedBy("asks", /report-type=/)).toString();
      expect(report).toMatch(/^Reporting-MTA: dns; ?exim\.test\r$/m);
      expect(report).toMatch(/^Original-Envelope-ID: envelope\+2B2\r$/m); // Exim leaves it in xtext.
      expect(report).toMatch(/^Action: delivered\r$/m);
    });
  });

  test("lets OnArrival log in by PLAIN over verified TLS", async () => {
    const smarthost = `host = "localhost"\nport = ${exim.ports.users}\ntls = "required"\nuser = "${account.name}"`;
    const sender = await InteropSite.start({ smarthost, password: account.password });
    try {
      const sample = plainSample("to-exim-plain");
      await submit(sender.ports.clear, { to: ["user@exim.test"], samples: [sample] });
      const received = await exim.received(sample.id);
      expect(difference(sample, received)).toBeNull();
      expect(traceOf(received).at(-2)).toContain("with esmtpsa ");
      await waitFor(() => /A=plain:ann/.test(exim.log()) || undefined, "the login in Exim's log", 5_000);
    } finally {
      await sender.remove();
    }
  });
});
