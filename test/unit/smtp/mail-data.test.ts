import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MailDataDecoder, stuffDots } from "../../../src/smtp/mail-data.ts";

/** Decodes text that comes in pieces; gives what came out, and what stands behind the end. */
function decode(pieces: readonly Buffer[]): { readonly data: string; readonly behind: string | null } {
  const decoder = new MailDataDecoder();
  let data = "";
  for (const [i, piece] of pieces.entries()) {
    const { pieces: decoded, end } = decoder.decode(piece);
    data += Buffer.concat(decoded).toString("latin1");
    if (end === -1) continue;
    return { data, behind: Buffer.concat([piece.subarray(end), ...pieces.slice(i + 1)]).toString("latin1") };
  }
  return { data, behind: null };
}

/** The same by the book: the whole at once, by search. RFC 5321 §4.5.2. */
function reference(text: string): { readonly data: string; readonly behind: string | null } {
  const whole = `\r\n${text}`;
  const end = whole.indexOf("\r\n.\r\n");
  const data = (end === -1 ? whole : whole.slice(0, end + 2)).replaceAll("\r\n.", "\r\n").slice(2);
  return { data, behind: end === -1 ? null : whole.slice(end + 5) };
}

function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (octets.length + 1)))].sort((one, other) => one - other);
  return [0, ...sorted].map((from, i) => octets.subarray(from, sorted[i] ?? octets.length));
}

const nasty = fc
  .array(fc.constantFrom("\r", "\n", ".", "\r\n", "\r\n.", ".\r\n", "a", "\0", "..", "\xff", "QUIT\r\n"), {
    maxLength: 40,
  })
  .map((words) => words.join(""));

describe("MailDataDecoder", () => {
  test.each([
    ["an empty message", ".\r\n", "", ""],
    ["a line", "a\r\n.\r\n", "a\r\n", ""],
    ["a stuffed dot", "..a\r\n.\r\n", ".a\r\n", ""],
    ["a dot alone, stuffed", "..\r\n.\r\n", ".\r\n", ""],
    ["octets behind the end", "a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"],
    ["LF, dot, LF", "a\n.\n.\r\n", "a\n.\n.\r\n", null],
    ["LF, dot, CRLF", "a\n.\r\nb", "a\n.\r\nb", null],
    ["CRLF, dot, LF", "a\r\n.\nb", "a\r\n\nb", null],
    ["CRLF, dot, CR", "a\r\n.\rb", "a\r\n\rb", null],
    ["CRLF, dot, CR, CRLF", "a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", ""],
  ])("%s", (_why, text, data, behind) => {
    expect(decode([Buffer.from(text)])).toEqual({ data, behind });
  });

  test("gives the same as the book for any octets, wherever they are cut", () => {
    fc.assert(
      fc.property(nasty, fc.array(fc.nat(200), { maxLength: 8 }), (text, places) => {
        const got = decode(cut(Buffer.from(text, "latin1"), places));
        const wanted = reference(text);
        expect(got.behind).toBe(wanted.behind);
        // A dot or CR that may still become the end is held back until more comes.
        if (wanted.behind !== null) expect(got.data).toBe(wanted.data);
        else expect(wanted.data.startsWith(got.data)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  test("gives back every message that was stuffed, to the octet", () => {
    fc.assert(
      fc.property(nasty, fc.array(fc.nat(200), { maxLength: 8 }), (text, places) => {
        const message = `${text}\r\n`;
        const wire = Buffer.concat([stuffDots(Buffer.from(message, "latin1")), Buffer.from(".\r\n")]);
        expect(decode(cut(wire, places))).toEqual({ data: message, behind: "" });
      }),
      { numRuns: 3_000 },
    );
  });

  test("hands octets without such dots on as they are, uncopied", () => {
    const chunk = Buffer.from("a.\r\nb\n.\r\n");
    expect(new MailDataDecoder().decode(chunk).pieces[0]).toBe(chunk);
  });

  test("costs a body of only dots no more than a bounded price for each octet", () => {
    const timeOf = (line: string) => {
      const octets = Buffer.from(line.repeat(200_000));
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 3; i++) {
        const begun = performance.now();
        new MailDataDecoder().decode(octets);
        best = Math.min(best, performance.now() - begun);
      }
      return best;
    };
    // One dot at the start of a line, and all is looked at octet by octet: the dots themselves cost nothing more.
    expect(timeOf("..\r\n")).toBeLessThan(10 * timeOf("a..b\r\n") + 20);
  });
});
