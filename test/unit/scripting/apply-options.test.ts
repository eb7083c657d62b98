/** What was asked for message and recipients, over the edits of scripts. */
import { describe, expect, test } from "vitest";
import type { Effects } from "../../../sandbox/protocol.ts";
import type { RecipientOptions } from "../../../src/mail/envelope.ts";
import { formatMailbox } from "../../../src/mail/mailbox.ts";
import { applyEffects } from "../../../src/scripting/apply.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const never: RecipientOptions = { notify: ["never"] };
const success: RecipientOptions = {
  notify: ["success"],
  originalRecipient: { type: "rfc822", address: "b@old.example" },
};
const address = (name: string) => `${name}@example.test`;

async function apply(effects: Effects, toOptions: readonly (RecipientOptions | undefined)[]) {
  const names = ["a", "b", "c", "d"];
  const message = createSampleMessage({
    to: names.map(address),
    toOptions,
    options: { ret: "HDRS", requireTls: true },
  });
  await applyEffects(message, effects);
  return message;
}

describe("applyEffects: what was asked for recipients", () => {
  test.each<{ why: string; to: string; kept: Record<string, RecipientOptions> }>([
    { why: "nothing changed", to: "abcd", kept: { a: never, b: success } },
    { why: "one written in another case stays who it is", to: "Abcd", kept: { A: never, b: success } },
    { why: "another order", to: "dcba", kept: { a: never, b: success } },
    { why: "one added at the end asks for nothing", to: "abcdx", kept: { a: never, b: success } },
    { why: "one added in front asks for nothing", to: "xabcd", kept: { a: never, b: success } },
    { why: "one removed", to: "bcd", kept: { b: success } },
    { why: "one replaced by one", to: "xbcd", kept: { x: never, b: success } },
    { why: "one replaced by several", to: "axycd", kept: { a: never, x: success, y: success } },
    { why: "one replaced that asked for nothing", to: "abcx", kept: { a: never, b: success } },
    { why: "neighbours replaced one by one", to: "xycd", kept: { x: never, y: success } },
    { why: "all replaced one by one", to: "wxyz", kept: { w: never, x: success } },
    { why: "several replaced by one: nobody knows whose it is", to: "x", kept: {} },
    { why: "several replaced by more", to: "xyzcd", kept: {} },
    { why: "one removed and another added elsewhere", to: "bcdx", kept: { b: success } },
  ])("$why", async ({ to, kept }) => {
    const message = await apply({ to: [...to].map(address) }, [never, success, undefined, undefined]);
    const found = message.envelope.recipients.map(({ mailbox, options }) => [formatMailbox(mailbox), options]);
    expect(found).toEqual([...to].map((name) => [address(name), kept[name]]));
  });

  test("nobody has options where nobody asked for any", async () => {
    const message = await apply({ to: ["a", "x"].map(address) }, []);
    expect(message.envelope.recipients.some((recipient) => "options" in recipient)).toBe(false);
  });

  test("another reverse-path leaves recipients as they are", async () => {
    const message = await apply({ from: null }, [never]);
    expect(message.envelope.reversePath).toBeNull();
    expect(message.envelope.recipients.map(({ options }) => options)).toEqual([never, undefined, undefined, undefined]);
  });
});

describe("applyEffects: what was asked for the message", () => {
  test.each<{ why: string; effects: Effects }>([
    { why: "the reverse-path", effects: { from: "other@example.org" } },
    { why: "recipients", effects: { to: ["x@example.test"] } },
    { why: "fields", effects: { fields: [["Subject", "new"]] } },
    { why: "the body", effects: { splices: [{ start: 0, end: 0, octets: Buffer.from("new\r\n") }] } },
  ])("stays over an edit of $why", async ({ effects }) => {
    expect((await apply(effects, [])).envelope.options).toEqual({ ret: "HDRS", requireTls: true });
  });
});
