/** Dovecot takes mail from us over LMTP, by TCP and by a socket: an answer for each recipient, and every octet as it was. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { splitMessage } from "../../src/mail/header.ts";
import type { NextHop } from "../../src/mail/next-hop.ts";
import { LmtpDelivery } from "../../src/outbound/lmtp.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { queuedRecipients } from "../../src/spool/spool.ts";
import { describeWith } from "../support/describe-with.ts";
import { Dovecot } from "../support/peers/dovecot.ts";
import { difference, largeSample, sampleMails } from "../support/peers/sample-mail.ts";
import { createSampleMessage } from "../support/sample-message.ts";

describeWith(["dovecot"], "Dovecot", () => {
  let dovecot: Dovecot;
  let lmtp: LmtpDelivery;

  beforeAll(async () => {
    dovecot = await Dovecot.start({
      "grace@dovecot.test": {},
      "samples@dovecot.test": {},
      "jörg@dovecot.test": {},
      "full@dovecot.test": { quotaOctets: 1 },
      "later@dovecot.test": { quotaOctets: 1, laterWhenFull: true },
    });
    lmtp = new LmtpDelivery({ hostName: "mail.example.test", clock: systemClock });
  });
  afterEach(({ task }) => {
    if (task.result?.state === "fail") process.stderr.write(`${dovecot.log()}\n`);
  });
  afterAll(async () => {
    lmtp?.close();
    await dovecot?.remove();
  });

  const ways = ["TCP", "a socket"] as const;
  function serverOf(way: (typeof ways)[number]): Extract<NextHop, { kind: "lmtp" }>["server"] {
    return way === "TCP" ? { host: "127.0.0.1", port: dovecot.port } : { socket: dovecot.socket };
  }
  function deliver(way: (typeof ways)[number], to: readonly string[], data?: Buffer) {
    const message = createSampleMessage({ to, from: "sender@example.org", ...(data && { data }) });
    const recipients = queuedRecipients(message.envelope, 0);
    return lmtp.deliver({ server: serverOf(way), message, recipients, attemptId: "A1" });
  }

  describe.each(ways)("takes from OnArrival by LMTP over %s", (way) => {
    const place = way.replace(" ", "-");

    test("every message as it was, under the fields of its final delivery", async () => {
      const samples = [...sampleMails(`dovecot-${place}`), largeSample(`dovecot-${place}`)];
      for (const sample of samples) {
        expect(await deliver(way, ["samples@dovecot.test"], sample.octets)).toMatchObject([{ kind: "delivered" }]);
        const received = dovecot
          .mail("samples@dovecot.test")
          .map((octets) => Buffer.from(octets.toString("latin1").replace(/\r?\n/g, "\r\n"), "latin1"))
          .find((octets) => octets.includes(`Message-ID: <${sample.id}>`));
        expect(received, sample.why).toBeDefined();
        const { header } = splitMessage(received!);
        expect(header.get("Return-Path")).toBe("<sender@example.org>");
        expect(difference(sample, received!)).toBeNull();
      }
    });

    test("mail for four, of whom it refuses two and defers one: each has an answer of his own", async () => {
      const to = ["grace", "nobody", "full", "later"].map((user) => `${user}@dovecot.test`);
      const before = dovecot.mail("grace@dovecot.test").length;
      const outcomes = await deliver(way, to);
      const told = [...outcomes]
        .sort((one, other) => one.index - other.index)
        .map(({ kind, reply }) => [kind, reply?.code, reply?.status]);
      expect(told).toEqual([
        ["delivered", 250, "2.0.0"],
        ["failed", 550, "5.1.1"],
        ["failed", 552, "5.2.2"],
        ["deferred", 452, "4.2.2"],
      ]);
      expect(dovecot.mail("grace@dovecot.test")).toHaveLength(before + 1);
    });

    test("no international address, as it does not offer SMTPUTF8: 5.6.7, and the others are served", async () => {
      expect(await deliver(way, ["jörg@dovecot.test", "grace@dovecot.test"])).toMatchObject([
        { index: 0, kind: "failed", status: "5.6.7" },
        { index: 1, kind: "delivered" },
      ]);
    });
  });
});
