import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { depthMax, type MimePart, parseMime, partsMax } from "../../../sandbox/mime.ts";
import { messageOf } from "../../support/scripts.ts";

/** All octets, taken from the ranges of the tree: every octet in one place. */
function rebuild(octets: Buffer, part: MimePart): Buffer {
  const pieces = [octets.subarray(part.start, part.headerEnd), octets.subarray(part.headerEnd, part.bodyStart)];
  let at = part.bodyStart;
  for (const child of part.children) {
    pieces.push(octets.subarray(at, child.start), rebuild(octets, child));
    at = child.bodyEnd;
  }
  pieces.push(octets.subarray(at, part.bodyEnd));
  return Buffer.concat(pieces);
}

function expectSound(octets: Buffer): void {
  const { root } = parseMime(octets);
  expect([root.start, root.bodyEnd]).toEqual([0, octets.length]);
  const ids = new Set<string>();
  const visit = (part: MimePart) => {
    expect(part.start <= part.headerEnd && part.headerEnd <= part.bodyStart && part.bodyStart <= part.bodyEnd).toBe(
      true,
    );
    let last = part.bodyStart;
    for (const child of part.children) {
      expect(child.parent).toBe(part);
      expect(child.delimiterStart >= last && child.delimiterStart <= child.start && child.bodyEnd <= part.bodyEnd).toBe(
        true,
      );
      last = child.bodyEnd;
      visit(child);
    }
    if (part.children.length === 0) {
      expect(ids.has(part.id)).toBe(false);
      ids.add(part.id);
    }
  };
  visit(root);
  expect(rebuild(octets, root).equals(octets)).toBe(true);
}

function outline(part: MimePart): unknown {
  const self = `${part.id || "-"} ${part.contentType}`;
  return part.children.length === 0 ? self : [self, ...part.children.map(outline)];
}

describe("parseMime", () => {
  const line = fc.constantFrom(
    "--a",
    "--a--",
    "--b",
    "--b--",
    "--a ",
    "--",
    "",
    " folded",
    "text",
    "Content-Type: multipart/mixed; boundary=a",
    'Content-Type: multipart/alternative; boundary="b"',
    "Content-Type: message/rfc822",
    "Content-Transfer-Encoding: base64",
    "Subject: x",
    ":",
    "\0",
    "é",
  );
  const end = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\r", "");

  it("gives ranges that hold every octet once, for any message", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(line, end), { maxLength: 60 }), (lines) => {
        expectSound(Buffer.from(lines.flat().join("")));
      }),
      { numRuns: 2_000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => expectSound(Buffer.from(octets))));
  });

  it.each([
    ["a text", "Subject: x\n\nhello\n", "1 text/plain"],
    ["no header", "\nhello\n", "1 text/plain"],
    ["no body", "Content-Type: text/html\n", "1 text/html"],
    ["a type that is none", "Content-Type: nonsense\n\nx", "1 text/plain"],
    [
      "a multipart in a multipart",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\nx\n--b\nContent-Type: text/html\n\ny\n--b--\n--a\nContent-Type: image/png\n\nz\n--a--\n",
      ["- multipart/mixed", ["1 multipart/alternative", "1.1 text/plain", "1.2 text/html"], "2 image/png"],
    ],
    [
      "an attached message with parts",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a\nContent-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ny\n--b--\n--a--\n",
      ["- multipart/mixed", "1 text/plain", ["2 message/rfc822", ["2 multipart/mixed", "2.1 text/plain"]]],
    ],
    [
      "a digest",
      "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: one\n\nx\n--a--\n",
      ["- multipart/digest", ["1 message/rfc822", "1.1 text/plain"]],
    ],
    [
      "a delimiter that only begins like one",
      "Content-Type: multipart/mixed; boundary=a\n\n--ab\n\nx\n--a\n\ny\n--a--\n",
      ["- multipart/mixed", "1 text/plain"],
    ],
    [
      "a boundary that is in another",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=aa\n\n--aa\n\nx\n--aa--\n--a--\n",
      ["- multipart/mixed", ["1 multipart/mixed", "1.1 text/plain"]],
    ],
    [
      "an outer delimiter ends an inner multipart",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--a\n\ny\n--a--\n",
      ["- multipart/mixed", ["1 multipart/mixed", "1.1 text/plain"], "2 text/plain"],
    ],
    [
      "a delimiter in a header",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n--a\n\ny\n--a--\n",
      ["- multipart/mixed", "1 text/html", "2 text/plain"],
    ],
    [
      "a comment in the type",
      "Content-Type: (x) multipart/mixed (y); boundary=(z)a\n\n--a\n\ny\n--a--\n",
      ["- multipart/mixed", "1 text/plain"],
    ],
    [
      "delimiter of a closed multipart",
      "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--\n--a\n\nepilogue\n",
      ["- multipart/mixed", "1 text/plain"],
    ],
  ])("%s", (_why, text, expected) => {
    expect(outline(parseMime(messageOf(text)).root)).toEqual(expected);
    expect(outline(parseMime(Buffer.from(text)).root)).toEqual(expected);
  });

  it.each([
    ["no boundary", "Content-Type: multipart/mixed\n\nx\n", "A multipart/mixed without boundary"],
    ["never closed", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n", "The multipart/mixed is not closed"],
    [
      "in base64",
      "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: base64\n\n--a\n\nx\n--a--\n",
      "A multipart/mixed in base64",
    ],
  ])("tells of a defect: %s", (_why, text, defect) => {
    expect(parseMime(messageOf(text)).defects).toEqual([defect]);
  });

  it("stops at its depth and at its number of parts, in time", () => {
    const started = performance.now();
    const nested = Array.from(
      { length: 10_000 },
      (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
    ).join("");
    const deep = parseMime(Buffer.from(nested));
    let depth = 0;
    for (let part: MimePart | undefined = deep.root; part; part = part.children[0]) depth++;
    expect(depth).toBe(depthMax + 1);
    expect(deep.defects).toContain(`Parts nested deeper than ${depthMax}: what is inside was not looked at`);
    const messages = parseMime(Buffer.from("Content-Type: message/rfc822\n\n".repeat(10_000)));
    expectSound(Buffer.from("Content-Type: message/rfc822\n\n".repeat(10_000)));
    expect(messages.root.children).toHaveLength(1);
    const many = parseMime(Buffer.from(`Content-Type: multipart/mixed; boundary=b\n\n${"--b\n\nx\n".repeat(100_000)}`));
    expect(many.root.children).toHaveLength(partsMax - 1);
    expect(many.defects).toContain(`More than ${partsMax} parts: what is behind them was not looked at`);
    parseMime(Buffer.from(`${"X-Field: value\n".repeat(100_000)}\nbody`));
    parseMime(Buffer.from(`Content-Type: multipart/mixed; boundary=b\n\n${"--\n".repeat(1_000_000)}`));
    parseMime(Buffer.from(`Content-Type: text/plain; ${"x*0*=a; ".repeat(100_000)}\n\nbody`));
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});
