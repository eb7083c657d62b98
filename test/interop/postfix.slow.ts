/** Postfix and OnArrival send each other mail: in the clear, over TLS, by LMTP, logged in; every octet arrives as it was sent. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { account, InteropSite } from "../support/peers/interop-site.ts";
import { Postfix, type PostfixService } from "../support/peers/postfix.ts";
import {
  difference,
  idsOf,
  largeSample,
  manySamples,
  plainSample,
  type SampleMail,
  sampleMails,
  traceOf,
} from "../support/peers/sample-mail.ts";
import { submit, submitAtOnce } from "../support/peers/submit.ts";
import { WireTap } from "../support/peers/wire-tap.ts";

describeWith(["postfix-master", "postfix-sendmail", "saslpasswd2"], "Postfix", () => {
  let site: InteropSite;
  let postfix: Postfix;
  /** Between Postfix and our listeners in the clear. */
  let intoClear: WireTap;
  let intoLmtp: WireTap;
  let intoForward: WireTap;
  /** Between us and Postfix. */
  let out: WireTap;

  beforeAll(async () => {
    out = await WireTap.to(0);
    site = await InteropSite.start({ smarthost: `host = "localhost"\nport = ${out.port}` });
    intoClear = await WireTap.to(site.ports.clear);
    intoLmtp = await WireTap.to(site.ports.lmtp);
    intoForward = await WireTap.to(site.ports.trusting);
    const secure = { tls_security_level: "secure" };
    const login = (mechanism: string) => ({
      ...{ ...secure, sasl_auth_enable: "yes", sasl_security_options: "noanonymous" },
      sasl_password_maps: `static:{${account.name}:${account.password}}`,
      sasl_mechanism_filter: mechanism,
    });
    const { ports } = site;
    postfix = await Postfix.start(
      {
        "clear.test": { port: intoClear.port, settings: { tls_security_level: "none" } },
        "starttls.test": { port: ports.starttls, settings: secure },
        "implicit.test": { port: ports.implicit, settings: { ...secure, tls_wrappermode: "yes" } },
        "lmtp.test": { port: intoLmtp.port, protocol: "lmtp" },
        "lmtps.test": { port: ports.lmtps, protocol: "lmtp", settings: secure },
        "forward.test": { port: intoForward.port, settings: { send_xforward_command: "yes" } },
        "plain.test": { port: ports.submission, settings: login("plain") },
        "login.test": { port: ports.submission, settings: login("login") },
        "scram.test": { port: ports.submission, settings: login("scram-sha-256") },
        "example.test": { port: ports.clear },
      },
      { [account.name]: account.password },
    );
    out.leadTo(postfix.ports.clear);
  });
  afterAll(async () => {
    await postfix?.remove();
    await site?.remove();
    for (const tap of [intoClear, intoLmtp, intoForward, out]) await tap?.close();
  });

  describe("sends to OnArrival", () => {
    const ways = [
      { why: "in the clear", domain: "clear.test", protocol: "ESMTP" },
      { why: "by STARTTLS, our certificate verified", domain: "starttls.test", protocol: "ESMTPS" },
      { why: "by TLS from the first octet", domain: "implicit.test", protocol: "ESMTPS" },
      { why: "by LMTP", domain: "lmtp.test", protocol: "LMTP" },
      { why: "by LMTP with STARTTLS", domain: "lmtps.test", protocol: "LMTPS" },
    ];
    test.each(ways)("$why, every message as it was", async ({ domain, protocol }) => {
      const samples = [...sampleMails(`postfix-to-${domain}`), largeSample(`postfix-to-${domain}`)];
      await submit(postfix.ports.clear, { to: [`samples@${domain}`], samples });
      for (const sample of samples) {
        const received = await site.received(sample.id);
        expect(difference(sample, received)).toBeNull();
        expect(traceOf(received)[2]).toMatch(new RegExp(`^Received: from postfix\\.test .* with ${protocol} id `));
      }
    });

    test("pipelined, with SIZE and 8BITMIME", async () => {
      const sample = sampleMails("postfix-pipelines").find(({ isEightBit }) => isEightBit)!;
      await submit(postfix.ports.clear, { to: ["pipelined@clear.test"], samples: [sample] });
      await site.received(sample.id);
      const session = intoClear.sessionWith(sample.id);
      expect(session.client).toMatch(/^MAIL FROM:<sender@example\.org> SIZE=\d+ BODY=8BITMIME\r$/m);
      expect(session.pipelined(/^MAIL FROM/m, /^RCPT TO:<.*\r\nDATA\r\n/m)).toBe(true);
    });

    test("200 messages at once, each of them once", async () => {
      const samples = manySamples("many-postfix", 200);
      await submitAtOnce(postfix.ports.clear, { to: ["many@clear.test"], samples });
      expect(await site.receivedIds("many", 200)).toEqual(idsOf(samples));
    });

    test("an international address by SMTPUTF8", async () => {
      const sample = plainSample("postfix-utf8");
      const [from, to] = ["grüße@example.org", "ünïcode@clear.test"] as const;
      await submit(postfix.ports.clear, { from, to: [to], samples: [sample], mailParameters: "SMTPUTF8" });
      const received = await site.received(sample.id);
      expect(difference(sample, received)).toBeNull();
      expect(traceOf(received)[1]).toBe(`Delivered-To: ${to}`);
      expect(traceOf(received)[2]).toContain(" with UTF8SMTP id ");
      expect(intoClear.sessionWith(sample.id).client).toMatch(/^MAIL FROM:<.*> .*SMTPUTF8\r$/m);
    });

    test("what a DSN is to say, and hears of a delivery that was asked for", async () => {
      const sample = plainSample("postfix-dsn");
      const args = ["-f", "reports@postfix.test", "-N", "success", "-R", "hdrs", "-V", "envelope+1"];
      const { status, stderr } = await postfix.sendmail([...args, "told@clear.test"], withLf(sample));
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      await site.received(sample.id);
      const { client } = intoClear.sessionWith(sample.id);
      expect(client).toMatch(/^MAIL FROM:<reports@postfix\.test> .*ENVID=envelope\+2B1 RET=HDRS\r$/m);
      expect(client).toMatch(/^RCPT TO:<told@clear\.test> ORCPT=rfc822;told@clear\.test NOTIFY=SUCCESS\r$/m);
      const report = await postfix.receivedWhere("reports@postfix.test", /report-type=delivery-status/);
      expect(report).toMatch(/^Original-Envelope-Id: envelope\+1\r$/m);
      expect(report).toMatch(/^Final-Recipient: rfc822; ?told@clear\.test\r$/m);
      expect(report).toMatch(/^Action: delivered\r$/m);
    });

    test("by LMTP to two, of whom one is refused at the end of data, and learns which", async () => {
      const sample = plainSample("postfix-lmtp-two");
      const to = ["taken@lmtp.test", "refused@lmtp.test"];
      await submit(postfix.ports.clear, { from: "asks@postfix.test", to, samples: [sample] });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
      const report = await postfix.receivedWhere("asks@postfix.test", /report-type=delivery-status/);
      const { server } = intoLmtp.sessionWith(sample.id);
      expect(server).toMatch(
        /^(250 2\.0\.0 .*\r\n550 5\.7\.1 Not this one|550 5\.7\.1 Not this one\r\n250 2\.0\.0 .*)\r$/m,
      );
      expect(report).toContain("Not this one");
      expect(report).not.toContain("taken@lmtp.test");
    });

    test("by XFORWARD who its own client was", async () => {
      const sample = plainSample("postfix-forward");
      await submit(postfix.ports.clear, { to: ["told@forward.test"], samples: [sample] });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
      const session = intoForward.sessionWith(sample.id);
      expect(session.client).toMatch(/^XFORWARD .*ADDR=127\.0\.0\.1/m);
      expect(session.client).toMatch(/^XFORWARD .*HELO=client\.example/m);
      expect(session.server).not.toMatch(/^5\d\d/m);
      const accepted = await site.site.logged((line) => line.messageId === `<${sample.id}>`, "of its acceptance");
      expect(accepted.forwarded).toMatchObject({ ADDR: "127.0.0.1", HELO: "client.example", SOURCE: "LOCAL" });
    });

    test.each([
      { why: "PLAIN", domain: "plain.test" },
      { why: "LOGIN", domain: "login.test" },
      { why: "SCRAM-SHA-256", domain: "scram.test" },
    ])("logged in by $why", async ({ domain }) => {
      const sample = plainSample(`postfix-${domain}`);
      await submit(postfix.ports.clear, { to: [`user@${domain}`], samples: [sample] });
      const received = await site.received(sample.id);
      expect(difference(sample, received)).toBeNull();
      expect(traceOf(received)[2]).toContain(" with ESMTPSA id ");
    });
  });

  describe("takes from OnArrival", () => {
    test("200 messages at once, each of them once", async () => {
      out.leadTo(postfix.ports.clear);
      postfix.clear();
      const samples = manySamples("many-to-postfix", 200);
      await submitAtOnce(site.ports.clear, { to: ["many@postfix.test"], samples });
      expect(await postfix.receivedIds(200)).toEqual(idsOf(samples));
    });

    const ways: readonly { why: string; service: PostfixService; protocol: string; said: RegExp }[] = [
      { why: "in the clear, by BDAT", service: "clear", protocol: "ESMTP", said: /^BDAT \d+ LAST\r$/m },
      { why: "by STARTTLS", service: "starttls", protocol: "ESMTPS", said: /^STARTTLS\r\n\x16\x03/m },
      { why: "with no extension on offer, by DATA", service: "bare", protocol: "ESMTP", said: /^DATA\r$/m },
    ];
    test.each(ways)("$why, every message as it was", async ({ service, protocol, said }) => {
      out.leadTo(postfix.ports[service]);
      const samples = [...sampleMails(`to-postfix-${service}`), largeSample(`to-postfix-${service}`)];
      await submit(site.ports.clear, { to: ["samples@postfix.test"], samples });
      for (const sample of samples) {
        const received = await postfix.received(sample.id);
        expect(difference(sample, received)).toBeNull();
        expect(traceOf(received).at(-2)).toMatch(
          new RegExp(`^Received: from onarrival\\.test .* with ${protocol} id `),
        );
      }
      for (const { client } of out.used) expect(client).toMatch(said);
    });

    test("by TLS from the first octet, every message as it was", async () => {
      const direct = await InteropSite.start({
        smarthost: `host = "127.0.0.1"\nport = ${postfix.ports.implicit}\nimplicit_tls = true`,
      });
      try {
        const samples = sampleMails("to-postfix-implicit");
        await submit(direct.ports.clear, { to: ["samples@postfix.test"], samples });
        for (const sample of samples) {
          const received = await postfix.received(sample.id);
          expect(difference(sample, received)).toBeNull();
          expect(traceOf(received).at(-2)).toMatch(/ with ESMTPS id /);
        }
      } finally {
        await direct.remove();
      }
    });

    test("pipelined, with SIZE and 8BITMIME", async () => {
      out.leadTo(postfix.ports.clear);
      const sample = sampleMails("to-postfix-pipelined").find(({ isEightBit }) => isEightBit)!;
      await submit(site.ports.clear, { to: ["pipelined@postfix.test"], samples: [sample] });
      await postfix.received(sample.id);
      const session = out.sessionWith(sample.id);
      expect(session.client).toMatch(/^MAIL FROM:<sender@example\.org> SIZE=\d+ BODY=8BITMIME\r$/m);
      expect(session.pipelined(/^MAIL FROM/m, /^RCPT TO/m)).toBe(true);
    });

    test("an international address by SMTPUTF8", async () => {
      out.leadTo(postfix.ports.clear);
      const sample = plainSample("to-postfix-utf8");
      await submit(site.ports.clear, { to: ["ünïcode@postfix.test"], samples: [sample], mailParameters: "SMTPUTF8" });
      const received = await postfix.received(sample.id);
      expect(difference(sample, received)).toBeNull();
      expect(traceOf(received)[2]).toContain("ünïcode@postfix.test");
    });

    test("no international address where it does not offer SMTPUTF8: the sender is told", async () => {
      out.leadTo(postfix.ports.bare);
      await submit(site.ports.clear, {
        from: "international@example.test",
        to: ["ünïcode@postfix.test"],
        samples: [plainSample("to-postfix-no-utf8")],
        mailParameters: "SMTPUTF8",
      });
      const report = (await site.receivedBy("international", /report-type=/)).toString();
      expect(report).toMatch(/^Status: 5\.6\.7\r$/m);
    });

    test("what a DSN is to say, and tells of a delivery that was asked for", async () => {
      out.leadTo(postfix.ports.clear);
      const sample = plainSample("to-postfix-dsn");
      await submit(site.ports.clear, {
        from: "asks@example.test",
        to: ["told@postfix.test"],
        samples: [sample],
        mailParameters: "RET=HDRS ENVID=envelope+2B2",
        rcptParameters: "NOTIFY=SUCCESS ORCPT=rfc822;first@example.org",
      });
      await postfix.received(sample.id);
      const { client: said } = out.sessionWith(sample.id);
      expect(said).toMatch(/^MAIL FROM:<asks@example\.test> .*RET=HDRS ENVID=envelope\+2B2\r$/m);
      expect(said).toMatch(/^RCPT TO:<told@postfix\.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example\.org\r$/m);
      const report = (await site.receivedBy("asks", /report-type=/)).toString();
      expect(report).toMatch(/^Original-Envelope-Id: envelope\+2\r$/m);
      expect(report).toMatch(/^Original-Recipient: rfc822; ?first@example\.org\r$/m);
      expect(report).toMatch(/^Action: delivered\r$/m);
    });

    test("mail for two, of whom it refuses one: the sender is told of that one alone", async () => {
      out.leadTo(postfix.ports.clear);
      const sample = plainSample("to-postfix-two");
      const to = ["taken@postfix.test", "refused@postfix.test"];
      await submit(site.ports.clear, { from: "two@example.test", to, samples: [sample] });
      expect(difference(sample, await postfix.received(sample.id))).toBeNull();
      const report = (await site.receivedBy("two", /report-type=/)).toString();
      expect(report).toMatch(/^Final-Recipient: rfc822; ?refused@postfix\.test\r$/m);
      expect(report).toContain("not here");
      expect(report).not.toContain("taken@postfix.test");
    });
  });

  test("lets OnArrival log in by SCRAM-SHA-256 over verified TLS", async () => {
    const sender = await InteropSite.start({
      smarthost: `host = "localhost"\nport = ${postfix.ports.users}\ntls = "required"\nuser = "${account.name}@postfix.test"`,
      password: account.password,
    });
    try {
      const sample = plainSample("to-postfix-scram");
      await submit(sender.ports.clear, { to: ["user@postfix.test"], samples: [sample] });
      expect(difference(sample, await postfix.received(sample.id))).toBeNull();
      expect(postfix.log()).toMatch(/sasl_method=SCRAM-SHA-256, sasl_username=ann@postfix\.test/);
    } finally {
      await sender.remove();
    }
  });
});

/** As sendmail(1) takes it. */
function withLf({ octets }: SampleMail): Buffer {
  return Buffer.from(octets.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
}
