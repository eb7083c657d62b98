/** Holds a delivered file against what was sent: the same octets but for trace fields at the top and the script's own field. */

/** The fields a server writes on top of a message. RFC 5321 §4.4. */
const traceNames = /^(Return-Path|Delivered-To|Received):/i;

/** RFC 5322 §2.2: a name of printable characters, and a colon. */
const isField = /^[!-9;-~]+[ \t]*:/;

export interface Difference {
  /** Octets from the start of what was sent. */
  readonly at: number;
  readonly sent: string;
  readonly delivered: string;
}

/**
 * The first difference, or undefined where there is none. `traceFields` says how many fields are the server's own; the message may begin with
 * such fields too, and these must stay, but for Return-Path (RFC 5321 §4.4: final delivery takes those away that came along). `ownField` is a line the script added somewhere in the header.
 */
export function compareDelivered(
  sent: Buffer,
  delivered: Buffer,
  { traceFields, ownField }: { readonly traceFields: number; readonly ownField: string },
): Difference | undefined {
  let text = delivered.toString("latin1");
  for (let taken = 0; taken < traceFields; taken++) {
    if (!traceNames.test(text))
      return {
        at: 0,
        sent: excerpt(sent.toString("latin1"), 0),
        delivered: `no trace field ${taken + 1}: ${excerpt(text, 0)}`,
      };
    text = text.slice(endOfField(text));
  }
  const separator = text.indexOf("\r\n\r\n");
  const header = separator < 0 ? text : text.slice(0, separator + 2);
  const place = new RegExp(`^${ownField}: .*\r\n`, "m").exec(header);
  if (place === null) return { at: 0, sent: "", delivered: `without the field ${ownField}` };
  text = text.slice(0, place.index) + text.slice(place.index + place[0].length);
  const wanted = withoutReturnPath(sent.toString("latin1"));
  if (text === wanted) return undefined;
  // Where there was no header there is one now: the empty line before the body came with it.
  if (header === place[0] && text === `\r\n${wanted}` && !isField.test(wanted)) return undefined;
  let at = 0;
  while (at < text.length && text[at] === wanted[at]) at++;
  return { at, sent: excerpt(wanted, at), delivered: excerpt(text, at) };
}

/** The value of a field in the header, or undefined. */
export function fieldValue(octets: Buffer, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)\r$`, "m").exec(octets.toString("latin1"))?.[1];
}

function withoutReturnPath(text: string): string {
  const separator = text.indexOf("\r\n\r\n");
  const end = separator < 0 ? text.length : separator + 2;
  return text.slice(0, end).replace(/^Return-Path[ \t]*:.*\r\n(?:[ \t].*\r\n)*/gim, "") + text.slice(end);
}

/** Where the first field ends: behind its last folded line. RFC 5322 §2.2.3. */
function endOfField(text: string): number {
  return /^.*\r\n(?:[ \t].*\r\n)*/.exec(text)![0].length;
}

function excerpt(text: string, at: number): string {
  return JSON.stringify(text.slice(Math.max(0, at - 20), at + 60));
}
