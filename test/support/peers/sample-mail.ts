/** Messages that mail software tends to change on the way, and what is left of one when the trace fields of those it passed are taken off. */
import { globSync, readFileSync } from "node:fs";
import { waitFor } from "../site.ts";

export interface SampleMail {
  readonly why: string;
  /** Value of its Message-ID without brackets: what it is found by. */
  readonly id: string;
  /** Header and body with CRLF line ends. */
  readonly octets: Buffer;
  readonly isEightBit: boolean;
}

const bodies: readonly { readonly why: string; readonly name: string; readonly body: string | Buffer }[] = [
  { why: "plain text", name: "plain", body: "The text.\r\n" },
  {
    why: "dots at line starts",
    name: "dots",
    body: "first\r\n.\r\n..\r\n.second\r\n...third\r\n. \r\nlast .\r\n.\r\n",
  },
  { why: "a line as long as SMTP allows", name: "long-line", body: `${"x".repeat(998)}\r\nshort\r\n` },
  {
    why: "a line that is longer, as mail has them all the same",
    name: "longer-line",
    body: `.${"y".repeat(5_000)}\r\n`,
  },
  { why: "8-bit text", name: "eight-bit", body: "Grüße, 世界, ñ\r\n" },
  {
    why: "octets that are no UTF-8",
    name: "latin",
    body: Buffer.concat([Buffer.from([0xe4, 0xf6, 0xfc, 0xff, 0xfe, 0x80]), Buffer.from("\r\n")]),
  },
  { why: "an empty body", name: "empty", body: "" },
  { why: "blank lines at the end", name: "blank-end", body: "text\r\n\r\n\r\n" },
  { why: "blanks at line ends, and a lone tab", name: "blanks", body: "trailing  \r\n\t\r\n  leading\r\n" },
];

/** A header that invites tidying: odd folding and spacing, a field twice, an empty one, order. */
function headerOf(id: string): string {
  return [
    "Date: Mon, 23 Nov 2026 18:20:00 +0000",
    "X-Twice: one",
    "From: <sender@example.org>",
    "Subject:   folded",
    "\tand spaced ",
    "X-Twice: two",
    "To: undisclosed-recipients:;",
    `Message-ID: <${id}>`,
    "X-Last:kept as it is",
    "",
    "",
  ].join("\r\n");
}

/** The samples, with Message-IDs that begin with `prefix`: unique as long as prefixes are. */
export function sampleMails(prefix: string): SampleMail[] {
  return bodies.map(({ why, name, body }) => makeSample(why, `${prefix}.${name}`, Buffer.from(body)));
}

/** Five MiB of text, every tenth line begins with a dot. */
export function largeSample(prefix: string): SampleMail {
  const lines: string[] = [];
  for (let n = 0, octets = 0; octets < 5 * 1024 * 1024; n++) {
    const line = `${n % 10 === 0 ? "." : ""}${n} ${"abcdefghijklmnopqrstuvwxyz".repeat(2)}\r\n`;
    lines.push(line);
    octets += line.length;
  }
  return makeSample("5 MiB", `${prefix}.large`, Buffer.from(lines.join("")));
}

/** So many plain messages. */
export function manySamples(prefix: string, count: number): SampleMail[] {
  return Array.from({ length: count }, (_, n) => plainSample(`${prefix}.${n}`));
}

export function plainSample(prefix: string): SampleMail {
  return sampleMails(prefix)[0]!;
}

function makeSample(why: string, name: string, body: Buffer): SampleMail {
  const id = `${name}@client.example`;
  const octets = Buffer.concat([Buffer.from(headerOf(id)), body]);
  return { why, id, octets, isEightBit: octets.some((octet) => octet > 0x7f) };
}

/** Fields that servers write on top as a message passes or arrives. */
const traceFields = new Set([
  "return-path",
  "delivered-to",
  "received",
  "x-original-to",
  "envelope-to",
  ...["x-client-addr", "x-client-proto", "x-helo-args", "x-mail-args", "x-rcpt-args"],
  "delivery-date",
]);

/** The message without the trace fields on its top. */
export function withoutTrace(octets: Buffer): Buffer {
  let from = 0;
  let isTrace = false;
  for (;;) {
    const end = octets.indexOf("\r\n", from);
    if (end < 0) return octets.subarray(from);
    const line = octets.toString("latin1", from, end);
    if (!/^[ \t]/.test(line)) isTrace = traceFields.has(line.slice(0, Math.max(0, line.indexOf(":"))).toLowerCase());
    if (!isTrace) return octets.subarray(from);
    from = end + 2;
  }
}

/** The trace fields on top, unfolded: one string each, the latest first. */
export function traceOf(octets: Buffer): string[] {
  const top = octets.toString("utf8", 0, octets.length - withoutTrace(octets).length);
  return top
    .replaceAll(/\r\n(?=[ \t])/g, "")
    .split("\r\n")
    .filter((field) => field !== "");
}

/** What became different on the way, with the place; null where every octet is as it was sent. */
export function difference(sample: SampleMail, received: Buffer): string | null {
  const { octets } = sample;
  const rest = withoutTrace(received);
  if (rest.equals(octets)) return null;
  let at = 0;
  while (at < rest.length && rest[at] === octets[at]) at++;
  const show = (buffer: Buffer) => JSON.stringify(buffer.toString("latin1", Math.max(0, at - 20), at + 60));
  return `${sample.why}: from octet ${at} on ${show(rest)}, expected ${show(octets)} (${rest.length} octets, expected ${octets.length})`;
}

/**
 * Waits until the message with this id is in one of `files`, a glob; line ends become CRLF, as other servers' Maildirs have LF.
 * @throws {Error} with what `words` says where it does not come
 */
export function findMail(files: string, id: string, words: () => string, timeoutMs = 20_000): Promise<Buffer> {
  const isIt = (top: string) => /^Message-ID:\s*<([^>]*)>/im.exec(top)?.[1] === id;
  return findMailWhere(files, isIt, { what: id, words, timeoutMs });
}

/** Waits until there are as many files as samples. Gives the ids of the messages in them, sorted. */
export async function findIds(files: string, count: number, words: () => string): Promise<readonly string[]> {
  try {
    await waitFor(() => globSync(files).length >= count || undefined, `${count} messages`, 30_000);
  } catch (error) {
    throw new Error(`${(error as Error).message}, got ${globSync(files).length}\n${words()}`, { cause: error });
  }
  return globSync(files)
    .map((file) => /^Message-ID:\s*<([^>]*)>/im.exec(readFileSync(file, "latin1"))?.[1] ?? "")
    .sort();
}

/** The ids of samples, sorted. */
export function idsOf(samples: readonly SampleMail[]): readonly string[] {
  return samples.map(({ id }) => id).sort();
}

/** The same for a message whose first 16 KiB `isIt` knows. */
export async function findMailWhere(
  files: string,
  isIt: (top: string) => boolean,
  {
    what,
    words,
    timeoutMs = 20_000,
  }: { readonly what: string; readonly words: () => string; readonly timeoutMs?: number },
): Promise<Buffer> {
  const others = new Set<string>();
  try {
    return await waitFor(
      () => {
        for (const file of globSync(files)) {
          if (others.has(file)) continue;
          const octets = readFileSync(file);
          if (isIt(octets.toString("latin1", 0, 16_384))) return withCrlf(octets);
          others.add(file);
        }
        return undefined;
      },
      `the message ${what}`,
      timeoutMs,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${words()}`, { cause: error });
  }
}

function withCrlf(octets: Buffer): Buffer {
  if (octets.includes("\r\n")) return octets;
  return Buffer.from(octets.toString("latin1").replaceAll("\n", "\r\n"), "latin1");
}
