/** Recipients that a script refuses while others get the message: who is told, and of whom. */
import { describe, expect, it } from "vitest";
import type { RecipientOptions } from "../../../src/mail/envelope.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import { reportRefused } from "../../../src/scripting/refusals.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";

const place = { hostname: "mx.example.org", now: () => Date.UTC(2026, 0, 5, 13) };
const refusal = (recipient: string, text = "Not him") => ({ recipient, code: 550, status: "5.7.1", text });

function twoOf(from: string | null = "ada@sender.example", options?: RecipientOptions) {
  return createSampleMessage({ from, to: ["one@example.test", "two@example.test"], toOptions: [options] });
}

describe("reportRefused", () => {
  it("takes the refused out, and tells the sender who and why", async () => {
    const message = twoOf();
    const report = await reportRefused(message, message.envelope, [refusal("ONE@example.test".toLowerCase())], place);
    expect(message.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox))).toEqual(["two@example.test"]);
    expect(report!.envelope.reversePath).toBeNull();
    expect(report!.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox))).toEqual(["ada@sender.example"]);
    const text = (await readMessage(report!)).toString();
    for (const words of ["Final-Recipient: rfc822;one@example.test", "Action: failed", "Status: 5.7.1", "Not him"])
      expect(text.replaceAll("rfc822; ", "rfc822;")).toContain(words);
    expect(text).not.toContain("two@example.test");
  });

  it("tells of those who are out of the envelope already", async () => {
    const message = twoOf();
    const before = message.envelope;
    message.envelope = { ...before, recipients: before.recipients.slice(1) };
    expect(await reportRefused(message, before, [refusal("one@example.test")], place)).not.toBeNull();
  });

  it.each<readonly [why: string, from: string | null, options: RecipientOptions | undefined, told: boolean]>([
    ["the reverse-path is null", null, undefined, false],
    ["the sender asked for no report", "ada@sender.example", { notify: [] }, false],
    ["he asked for other reports", "ada@sender.example", { notify: ["success"] }, false],
    ["he asked for reports of failures", "ada@sender.example", { notify: ["failure"] }, true],
  ])("where %s", async (_why, from, options, told) => {
    const message = twoOf(from, options);
    const report = await reportRefused(message, message.envelope, [refusal("one@example.test")], place);
    expect(report !== null).toBe(told);
    expect(message.envelope.recipients).toHaveLength(1);
  });

  it("refuses nobody who is no recipient", async () => {
    const message = twoOf();
    await expect(
      reportRefused(message, message.envelope, [refusal("other@example.test")], place),
    ).rejects.toMatchObject({
      code: "script.action-invalid",
    });
  });
});
