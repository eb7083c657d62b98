/** A message that a script hands over whole becomes fields and a body. */
import { describe, expect, it } from "vitest";
import { readRawMessage } from "../../../sandbox/raw-message.ts";

const read = (text: string, kind: "submit" | "reply" = "submit") => {
  const { fields, body } = readRawMessage(Buffer.from(text), kind);
  return { fields: fields.map(([name, value]) => `${name}: ${value}`), body: body.toString() };
};
const automatic = "Auto-Submitted: auto-generated";

describe("readRawMessage", () => {
  it.each<readonly [why: string, text: string, fields: readonly string[], body: string]>([
    ["line ends of SMTP", "A: 1\r\nB: 2\r\n\r\nx\r\ny\r\n", ["A: 1", "B: 2", automatic], "x\r\ny\r\n"],
    ["plain line ends, and none at the end", "A: 1\n\nx\ny", ["A: 1", automatic], "x\r\ny\r\n"],
    ["lone CR, and NUL", "A: 1\n\nx\ry\0z", ["A: 1", automatic], "x\r\nyz\r\n"],
    ["folded fields", "A: 1\r\n 2\r\n\t3\r\n\r\n", ["A: 1 2 3", automatic], ""],
    ["no body", "A: 1", ["A: 1", automatic], ""],
    ["nothing", "", [automatic], ""],
    ["no header", "\r\nbody", [automatic], "body\r\n"],
    [
      "a line that is no field begins the body",
      "A: 1\r\nno field\r\nB: 2",
      ["A: 1", automatic],
      "no field\r\nB: 2\r\n",
    ],
    ["a space before the colon", "A : 1\r\n\r\n", ["A: 1", automatic], ""],
    [
      "what the server writes",
      "Date: x\nMessage-ID: <x>\nReceived: x\nBcc: x\nDKIM-Signature: x\nARC-Seal: x\nA: 1\n\n",
      ["A: 1", automatic],
      "",
    ],
    ["a machine's own words", "Auto-Submitted: auto-notified\n\n", ["Auto-Submitted: auto-notified"], ""],
    ["control characters in a field", "A: 1\u0001\u007f2\n\n", ["A: 1  2", automatic], ""],
    ["octets above ASCII", "A: ü\n\nü\n", ["A: ü", automatic], "ü\r\n"],
  ])("reads %s", (_why, text, fields, body) => {
    expect(read(text)).toEqual({ fields, body });
  });

  it("says of an answer that it is one", () => {
    expect(read("A: 1\n\n", "reply").fields).toEqual(["A: 1", "Auto-Submitted: auto-replied"]);
  });

  it("takes 500 fields, and what is more is body", () => {
    const lines = Array.from({ length: 501 }, (_, index) => `A${index}: 1\r\n`);
    expect(read(lines.slice(0, 500).join("")).fields).toHaveLength(501);
    expect(read(lines.join(""))).toMatchObject({ body: "A500: 1\r\n" });
  });
});
