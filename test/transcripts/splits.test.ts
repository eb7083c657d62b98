/** Mail data cut into two packets at every place: where a packet ends says nothing about where a line or the data ends. RFC 5321 §4.1.1.4. */
import { describe, expect, test } from "vitest";
import { type EngineName, engineNames, startSubject } from "../support/listener.ts";
import { parseTranscript, playTranscript } from "../support/transcript.ts";

const begin = ["S: 220*", "C: EHLO client.example", "S: 250*"];
const transaction = [
  "C: MAIL FROM:<eve@client.example>",
  "S: 250*",
  "C: RCPT TO:<ann@example.org>",
  "S: 250*",
  "C: DATA",
  "S: 354*",
];
const end = ["C: NOOP", "S: 250*", "C: QUIT", "S: 221*"];

/** One transaction for each place to cut `data` at, in one session. */
function cutEverywhere(data: string, reply: string): string[] {
  return Array.from({ length: data.length - 1 }, (_, i) => [
    ...transaction,
    `C! ${quote(data.slice(0, i + 1))} | ${quote(data.slice(i + 1))}`,
    `S: ${reply}`,
  ]).flat();
}

function quote(text: string): string {
  return JSON.stringify(text).replaceAll("\\u0000", "\\0");
}

async function play(
  engine: EngineName,
  steps: readonly string[],
  whole: (bodies: readonly string[]) => void,
): Promise<void> {
  const subject = await startSubject({ engine });
  try {
    await playTranscript(parseTranscript([...begin, ...steps, ...end].join("\n")), subject);
    whole(
      await Promise.all((await subject.accepted()).map(async ({ body }) => (await body.octets()).toString("latin1"))),
    );
  } finally {
    await subject.close();
  }
}

describe.each(engineNames)("mail data in two packets, %s engine", (engine) => {
  test("is the same message wherever it was cut", async () => {
    const data = "..\r\n\r\n..\r\n..a\r\nb..\r\n...\r\n\r\n.\r\n";
    await play(engine, cutEverywhere(data, "250 2.0.0*"), (bodies) => {
      expect(bodies).toHaveLength(data.length - 1);
      expect(new Set(bodies)).toEqual(new Set([".\r\n\r\n.\r\n.a\r\nb..\r\n..\r\n\r\n"]));
    });
  });

  const others: readonly [why: string, sequence: string][] = [
    ["LF, dot, LF", "\n.\n"],
    ["LF, dot, CRLF", "\n.\r\n"],
    ["CRLF, dot, LF", "\r\n.\n"],
    ["CR, dot, CR", "\r.\r"],
    ["CR, dot, CRLF", "\r.\r\n"],
    ["CRLF, dot, CR", "\r\n.\r"],
    ["CRLF, dot, CR, CRLF", "\r\n.\r\r\n"],
    ["CRLF, NUL, dot, CRLF", "\r\n\0.\r\n"],
    ["CRLF, dot, NUL, CRLF", "\r\n.\0\r\n"],
    ["LF, CR, dot, LF, CR", "\n\r.\n\r"],
  ];
  test.concurrent.each(others)("does not end at %s, wherever it was cut", async (_why, sequence) => {
    await play(engine, cutEverywhere(`A: 1\r\n\r\nx${sequence}RSET\r\n.\r\n`, "550 5.6.0*"), (bodies) =>
      expect(bodies).toEqual([]),
    );
  });
});

describe("every sequence of up to three octets that could be taken for a piece of the end of data", () => {
  const octets = ["\r", "\n", ".", "\0"];
  const longer = (sequences: readonly string[]) => sequences.flatMap((one) => octets.map((octet) => one + octet));
  const two = longer(octets);
  const sequences = [...octets, ...two, ...longer(two)];

  /** As RFC 5321 §4.5.2 has it; null where it is to be refused. */
  function meant(text: string): string | null {
    return /\0|\r(?!\n)|(?<!\r)\n/.test(text) ? null : text.replaceAll("\r\n.", "\r\n");
  }

  test("is text or is refused, wherever it is cut, and hides no command behind it", async () => {
    expect(sequences).toHaveLength(84);
    const steps: string[] = [];
    const bodies: string[] = [];
    for (const sequence of sequences) {
      const text = `x${sequence}RSET\r\n`;
      const body = meant(text);
      for (let cut = 1; cut <= sequence.length + 1; cut++) {
        steps.push(
          ...transaction,
          `C! ${quote(`A: 1\r\n\r\n${text.slice(0, cut)}`)} | ${quote(`${text.slice(cut)}.\r\n`)}`,
          body === null ? "S: 550 5.6.0*" : "S: 250 2.0.0*",
        );
        if (body !== null) bodies.push(body);
      }
    }
    expect(bodies.length).toBeGreaterThan(8);
    await play("native", steps, (accepted) => expect(accepted).toEqual(bodies));
  });
});
