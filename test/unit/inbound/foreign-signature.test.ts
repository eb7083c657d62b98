/** A message somebody else has signed comes in by the wire, goes into the spool and out of it again: the signature still is good, and no octet of it has changed. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { withResults } from "../../../src/inbound/verify.ts";
import { type EngineName, engineNames, type Subject, startSubject } from "../../support/listener.ts";
import { nothingPassed } from "../../support/rule-facts.ts";
import { readMessage } from "../../support/sample-message.ts";
import { SmtpClient } from "../../support/smtp-client.ts";
import { plainMail, signed, verified } from "./verify-setup.ts";

describe.each(engineNames)("the %s engine", (engine: EngineName) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await startSubject({ engine });
  });
  afterAll(() => subject.close());

  const odd: readonly [why: string, mail: string][] = [
    ["as most are", plainMail],
    [
      "odd folds and blanks",
      plainMail.replace("Subject: Hello", `Subject:Hello\r\n\t  world  \r\nX-Long: ${"x".repeat(900)}`),
    ],
    ["dots and empty lines in the body", plainMail.replace("First line", ".\r\n..\r\n \t\r\n.dot\r\n\r\n\r\nlast")],
    ["octets above ASCII", plainMail.replace("First line", "\xe4\xf6\xfc \xff")],
  ];
  test.each(odd)("%s", async (_why, mail) => {
    const data = Buffer.from(await signed(mail), "latin1");
    const client = await SmtpClient.connect(subject.port);
    expect((await client.send({ from: "ann@example.org", to: ["bob@example.org"], data })).code).toBe(250);
    const message = (await subject.accepted()).at(-1)!;
    const kept = await readMessage(message);
    expect(kept.subarray(kept.length - data.length).equals(data)).toBe(true);
    message.header = withResults(message.header, {
      isTrusted: false,
      hostname: "mx.example.test",
      auth: nothingPassed,
    });
    const { dkim } = await verified({ mail: (await readMessage(message)).toString("latin1") });
    expect(dkim).toMatchObject([{ result: "pass", domain: "example.org" }]);
    await client.quit();
  });
});

describe("withResults", () => {
  const forged = "Authentication-Results: mx.example.test; dmarc=pass\r\n";
  const header = async () =>
    (await import("../../../src/mail/header.ts")).splitMessage(Buffer.from(`${forged}Subject: x\r\n\r\n`)).header;
  const rows: readonly [why: string, isTrusted: boolean, checked: boolean, count: number, first: string][] = [
    ["checked: ours alone", false, true, 1, "Authentication-Results"],
    ["checked, of a host of ours: ours alone", true, true, 1, "Authentication-Results"],
    ["not checked: none that says it is ours", false, false, 0, "Subject"],
    ["not checked, of a host of ours: as it came", true, false, 1, "Authentication-Results"],
  ];
  test.each(rows)("%s", async (_why, isTrusted, checked, count, first) => {
    const written = withResults(await header(), {
      isTrusted,
      hostname: "mx.example.test",
      auth: checked ? nothingPassed : undefined,
    });
    expect(written.count("Authentication-Results")).toBe(count);
    expect(written.fields[0]!.name).toBe(first);
    if (checked) expect(written.get("Authentication-Results")).toContain("dmarc=none");
  });
});
