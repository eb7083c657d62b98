import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatReplyLines, ReplyBuffer, replyLineOctetsMax } from "../../../src/smtp/reply-buffer.ts";

const say = (text: string, status: string | undefined = "2.0.0") => formatReplyLines({ code: 250, status, text });

describe("formatReplyLines", () => {
  test.each<[why: string, written: string, wanted: string]>([
    ["one line", say("ok"), "250 2.0.0 ok\r\n"],
    ["no status", formatReplyLines({ code: 220, status: undefined, text: "a b" }), "220 a b\r\n"],
    ["no text", say(""), "250 2.0.0\r\n"],
    ["neither", formatReplyLines({ code: 334, status: undefined, text: "" }), "334 \r\n"],
    ["several lines, the status on each", say("a\nb\nc"), "250-2.0.0 a\r\n250-2.0.0 b\r\n250 2.0.0 c\r\n"],
    ["a line end of its own", say("a\r\n250 b\0"), "250-2.0.0 a \r\n250 2.0.0 250 b \r\n"],
    ["a lone CR", say("a\rb"), "250 2.0.0 a b\r\n"],
    ["510 octets before the line end", say("x".repeat(500)), `250 2.0.0 ${"x".repeat(500)}\r\n`],
    ["511", say("x".repeat(501)), `250 2.0.0 ${"x".repeat(500)}\r\n`],
    ["no half of a character", say(`${"x".repeat(499)}ä`), `250 2.0.0 ${"x".repeat(499)}\r\n`],
    ["a whole one", say(`${"x".repeat(498)}ä`), `250 2.0.0 ${"x".repeat(498)}ä\r\n`],
  ])("writes %s", (_why, written, wanted) => {
    expect(written).toBe(wanted);
  });

  test("writes no line that is too long, or more than it is told to", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 1_500 }), (text) => {
        const written = say(text);
        const lines = written.split("\r\n");
        expect(lines.pop()).toBe("");
        expect(lines.length).toBe(text.split("\n").length);
        for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(replyLineOctetsMax - 2);
      }),
    );
  });
});

describe("ReplyBuffer", () => {
  test("gathers replies, and gives each once", () => {
    const buffer = new ReplyBuffer();
    expect(buffer.take()).toBe("");
    buffer.say({ code: 250, status: "2.1.0", text: "a" });
    buffer.say({ code: 354, status: undefined, text: "b" });
    expect(buffer.take()).toBe("250 2.1.0 a\r\n354 b\r\n");
    expect(buffer.take()).toBe("");
  });
});
