/** Words from a script, on their way to a log or a terminal: one line, nothing in it that moves a cursor or hides other text. */

/** Characters of a fault's message. */
export const messageLengthMax = 500;

// CSI, OSC and the two-character sequences of ECMA-48; the lengths are bounded so that nothing here can be slow.
const escapeSequence = /\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
// C0 and C1 controls, line and paragraph separators, and the characters that turn the direction of text.
const unprintable = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+/g;
const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** `text` as one printable line of at most `lengthMax` characters. */
export function plainLine(text: string, lengthMax = messageLengthMax): string {
  // Cut first, so that a hostile length costs nothing; cut again, because the first cut was generous.
  const line = text
    .slice(0, lengthMax * 4)
    .replace(escapeSequence, "")
    .replace(unprintable, " ")
    .replace(loneSurrogate, "\ufffd")
    .trim();
  return line.length > lengthMax ? `${line.slice(0, lengthMax - 1)}…` : line;
}

/** Whether `plainLine` would leave it as it is. */
export function isPlainLine(text: string, lengthMax = messageLengthMax): boolean {
  return text.length <= lengthMax && plainLine(text, lengthMax) === text;
}
