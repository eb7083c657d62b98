import { describe, expect, test } from "vitest";
import type { Effects } from "../../../sandbox/protocol.ts";
import { applyEffects } from "../../../src/scripting/apply.ts";
import { createMessage } from "../../support/events.ts";

const text = "Subject: one\nX-A: 1\nTo: Bob <bob@example.test>\n\nfirst\nsecond\n";
const octetsOf = async (message: ReturnType<typeof createMessage>) => {
  const chunks: Buffer[] = [];
  for await (const chunk of message.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

describe("applyEffects", () => {
  test("keeps untouched fields to the octet, in the order asked for", async () => {
    const message = createMessage("Subject:   one \nX-A:\n folded\nTo: Bob\n\nbody\n");
    const changes = await applyEffects(message, { fields: [1, ["Subject", "two"], 2, ["X-B", "new"]] });
    expect(await octetsOf(message)).toBe("X-A:\r\n folded\r\nSubject: two\r\nTo: Bob\r\nX-B: new\r\n\r\nbody\r\n");
    expect(changes.fields).toEqual([
      { op: "set", name: "Subject", before: "one", after: "two" },
      { op: "add", name: "X-B", after: "new" },
    ]);
  });

  test("tells what was removed", async () => {
    const changes = await applyEffects(createMessage(text), { fields: [0, 2] });
    expect(changes.fields).toEqual([{ op: "remove", name: "X-A", before: "1" }]);
  });

  test("changes the envelope and tells who came and who went", async () => {
    const message = createMessage(text, { to: ["bob@example.test", "eve@example.test"] });
    const changes = await applyEffects(message, {
      from: null,
      to: ["BOB@example.test", "new@example.org", "new@example.org"],
    });
    expect(message.envelope.reversePath).toBeNull();
    expect(message.envelope.recipients).toHaveLength(2);
    expect(changes.envelope).toEqual({ from: null, added: ["new@example.org"], removed: ["eve@example.test"] });
  });

  test("splices the body", async () => {
    const message = createMessage(text);
    await applyEffects(message, {
      splices: [
        { start: 0, end: 7, octets: Buffer.from("1st\r\n") },
        { start: 15, end: 15, octets: Buffer.from("end\r\n") },
      ],
    });
    expect((await message.body.octets()).toString()).toBe("1st\r\nsecond\r\nend\r\n");
  });

  test("puts an empty line before the body of a message that ended with its header", async () => {
    const message = createMessage("Subject: one\n");
    await applyEffects(message, { splices: [{ start: 0, end: 0, octets: Buffer.from("Bcc: words\r\n") }] });
    expect(await octetsOf(message)).toBe("Subject: one\r\n\r\nBcc: words\r\n");
  });

  test("ends the line of a header that broke off before a field behind it", async () => {
    const message = createMessage("Subject: one");
    await applyEffects(message, { fields: [0, ["X-Tag", "new"]] });
    expect(await octetsOf(message)).toBe("Subject: one\r\nX-Tag: new\r\n");
  });

  test.each<[string, Effects]>([
    ["a field kept twice", { fields: [0, 0] }],
    ["a field that is not there", { fields: [7] }],
    ["a field with a line end in it", { fields: [["X", "a\r\nBcc: eve@example.org"]] }],
    ["a field with a bad name", { fields: [["X Y", "a"]] }],
    ["no address", { to: ["nobody"] }],
    ["an address with a line end", { from: "a@b.example\r\nX" }],
    ["a splice beyond the end", { splices: [{ start: 0, end: 100, octets: Buffer.alloc(0) }] }],
    [
      "splices out of order",
      {
        splices: [
          { start: 7, end: 8, octets: Buffer.alloc(0) },
          { start: 0, end: 1, octets: Buffer.alloc(0) },
        ],
      },
    ],
    ["a splice that leaves a bare CR", { splices: [{ start: 6, end: 7, octets: Buffer.alloc(0) }] }],
    ["a splice that brings a bare LF", { splices: [{ start: 0, end: 0, octets: Buffer.from("\n") }] }],
    ["too many recipients", { to: Array.from({ length: 1_001 }, (_, i) => `u${i}@example.test`) }],
  ])("refuses %s and leaves the message as it was", async (_why, effects) => {
    const message = createMessage(text);
    const before = await octetsOf(message);
    await expect(applyEffects(message, { from: "other@example.org", ...effects })).rejects.toMatchObject({
      code: "script.action-invalid",
    });
    expect(await octetsOf(message)).toBe(before);
    expect(message.envelope.reversePath).toMatchObject({ localPart: "ann" });
  });
});
