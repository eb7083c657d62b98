import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, type Frame, FrameDecoder, FrameError } from "../../../sandbox/frame.ts";

const limits = { headOctetsMax: 1_000, octetsMax: 2_000 };

function decode(chunks: readonly Buffer[], decoder = new FrameDecoder(limits)): Frame[] {
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

describe("encodeFrame and FrameDecoder", () => {
  it("give back what went in, however the octets are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.jsonValue({ maxDepth: 2 }), fc.uint8Array({ maxLength: 50 })), { maxLength: 5 }),
        fc.array(fc.nat({ max: 400 }), { maxLength: 8 }),
        (messages, cuts) => {
          const frames = messages.filter(([value]) => Buffer.byteLength(JSON.stringify(value)) <= 1_000);
          const octets = Buffer.concat(frames.map(([value, tail]) => encodeFrame(JSON.stringify(value), [tail])));
          const at = [0, ...cuts.filter((cut) => cut < octets.length).sort((one, other) => one - other), octets.length];
          const chunks = at.slice(1).map((end, index) => octets.subarray(at[index], end));
          const decoded = decode(chunks);
          expect(decoded.map(({ head, tail }) => [JSON.stringify(head), tail.toString("hex")])).toEqual(
            frames.map(([value, tail]) => [
              JSON.stringify(JSON.parse(JSON.stringify(value))),
              Buffer.from(tail).toString("hex"),
            ]),
          );
        },
      ),
    );
  });

  it("joins several tails", () => {
    expect(decode([encodeFrame("1", [Buffer.from("a"), Buffer.from("bc")])])[0]!.tail.toString()).toBe("abc");
  });

  it("counts what has begun and is not complete", () => {
    const decoder = new FrameDecoder(limits);
    const frame = encodeFrame('{"a":1}');
    decode([frame.subarray(0, 10)], decoder);
    expect(decoder.pendingOctets).toBe(10);
    expect(decode([frame.subarray(10)], decoder)).toHaveLength(1);
    expect(decoder.pendingOctets).toBe(0);
  });
});

describe("FrameDecoder", () => {
  const prefix = (all: number, head: number, rest = "") => {
    const octets = Buffer.alloc(8);
    octets.writeUInt32LE(all, 0);
    octets.writeUInt32LE(head, 4);
    return Buffer.concat([octets, Buffer.from(rest)]);
  };

  it.each([
    ["as long as allowed", prefix(4 + 2_000, 1, "1".padEnd(2_000)), true],
    ["one octet longer than allowed", prefix(4 + 2_001, 1), false],
    ["as much JSON as allowed", encodeFrame(`"${"x".repeat(998)}"`), true],
    ["one octet of JSON more", encodeFrame(`"${"x".repeat(999)}"`), false],
    ["more JSON than frame", prefix(10, 7), false],
    ["shorter than its own length", prefix(3, 0), false],
    ["no JSON", encodeFrame("{"), false],
    ["nothing at all", encodeFrame(""), false],
    ["garbage", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), false],
    ["four gigabytes announced", prefix(0xffffffff, 0xffffffff), false],
  ])("%s", (_why, octets, good) => {
    if (good) expect(decode([octets])).toHaveLength(1);
    else expect(() => decode([octets])).toThrow(FrameError);
  });
});
