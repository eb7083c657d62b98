import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Reply } from "../../../src/mail/status.ts";
import { stuffDots } from "../../../src/smtp/mail-data.ts";
import { ServerSession } from "../../../src/smtp/server-session.ts";
import type { ServerStep } from "../../../src/smtp/server-step.ts";
import { agree, cut, no, type On, ok, play, settings } from "./session-driver.ts";

/** Words a client may say; DATA and STARTTLS end what is sent at once. */
const word = fc.constantFrom(
  "EHLO a.example\r\n",
  "HELO a.example\r\n",
  "LHLO a.example\r\n",
  "MAIL FROM:<a@b.example>\r\n",
  "MAIL FROM:<a@b.example> PRDR BODY=8BITMIME\r\n",
  "RCPT TO:<c@d.example>\r\n",
  "RCPT TO:<c@d.example> NOTIFY=NEVER\r\n",
  "BDAT 5\r\nA: b\r",
  "BDAT 3 LAST\r\n\n\r\n",
  "BDAT 0 LAST\r\n",
  "RSET\r\n",
  "NOOP\r\n",
  "VRFY a\r\n",
  "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
  "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n",
  "AUTH SCRAM-SHA-256 biwsbj1hbm4scj14\r\n",
  "AUTH PLAIN\r\n*\r\n",
  "XCLIENT NAME=a.example LOGIN=ann\r\n",
  "XFORWARD ADDR=192.0.2.1\r\n",
  "FOO\r\n",
  "a: b\r\n..c\r\n.\r\n",
  "\n",
  "\r",
  "x\r\n",
);
const ending = fc.constantFrom("DATA\r\n", "STARTTLS\r\n", "QUIT\r\n", "");
const group = fc.tuple(fc.array(word, { maxLength: 6 }), ending).map(([lines, end]) => lines.join("") + end);
const conversation = fc.array(group, { minLength: 1, maxLength: 5 });
const places = fc.array(fc.nat(400), { maxLength: 12 });

/** Answers by dice that fall the same in each run, and keeps count of the recipients. */
function dice(seed: number): On {
  let throws = seed;
  let recipients = 0;
  const choose = (sides: number) => {
    throws = (Math.imul(throws, 1_103_515_245) + 12_345) >>> 0;
    return (throws >>> 16) % sides;
  };
  const later: Reply = { code: 451, status: "4.7.1", text: "later\nmuch later" };
  const judge = (step: ServerStep, session: ServerSession) => {
    if (choose(5) === 0) session.answer(choose(2) === 0 ? no : later, choose(8) === 0);
    else agree(step, session);
  };
  const counting = (session: ServerSession, positive: () => void) => {
    const isPositive = choose(4) > 0;
    if (isPositive) positive();
    session.answer(isPositive ? ok : no);
  };
  return {
    command: (_step, session) => {
      const fallen = choose(9);
      if (fallen === 0) session.consume(no);
      else if (fallen === 1) session.capture({ code: 334, status: undefined, text: "" });
      else session.goOn();
    },
    captured: (_step, session) => {
      if (choose(3) === 0) session.capture({ code: 334, status: undefined, text: "more" });
      else session.consume(choose(2) === 0 ? no : { code: 235, status: "2.7.0", text: "in" });
    },
    reply: (step, session) => {
      const turned = choose(10) === 0 && step.reply.code < 400 && step.verb !== "RCPT" && step.verb !== "MAIL";
      session.say(turned ? later : step.reply);
    },
    mail: (_step, session) => counting(session, () => (recipients = 0)),
    rcpt: (_step, session) => counting(session, () => recipients++),
    data: judge,
    auth: judge,
    proved: judge,
    scram: judge,
    xclient: judge,
    xforward: judge,
    helo: judge,
    "end-of-data": (step, session) => {
      if (!step.perRecipient) return judge(step, session);
      const replies = Array.from({ length: recipients }, () => (choose(2) === 0 ? ok : later));
      session.answerEach(replies, choose(2) === 0 ? ok : null);
    },
  };
}

const kinds = fc.record({
  protocol: fc.constantFrom("smtp" as const, "smtp" as const, "lmtp" as const),
  commands: fc.boolean(),
  replies: fc.boolean(),
  seed: fc.nat(),
});

describe("ServerSession", () => {
  test("gives the same steps and replies however the octets are cut, whoever watches", () => {
    fc.assert(
      fc.property(conversation, places, kinds, (groups, where, { protocol, commands, replies, seed }) => {
        const run = (pieces: readonly Buffer[]) => {
          const watches = { watchesCommands: () => commands, watchesReplies: () => replies };
          const { steps, output, session } = play(pieces, { protocol, ...watches, on: dice(seed), errorsMax: 6 });
          return { steps, output, state: session.state };
        };
        const octets = [`${protocol === "lmtp" ? "LHLO" : "EHLO"} first.example\r\n`, ...groups].map((text) =>
          Buffer.from(text),
        );
        expect(run(octets.flatMap((piece) => cut(piece, where)))).toEqual(run(octets));
      }),
      { numRuns: 2_000 },
    );
  });

  test("never throws, whatever comes, and says only replies", () => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((octets) => Buffer.from(octets)),
      word.map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 12 }), kinds, (pieces, { protocol, commands, replies, seed }) => {
        const watches = { watchesCommands: () => commands, watchesReplies: () => replies };
        const { output } = play(pieces, { protocol, ...watches, on: dice(seed) });
        expect(output).toMatch(/^(?:[2-5]\d\d[ -][\x20-\x7e]{0,506}\r\n)*$/);
      }),
      { numRuns: 2_000 },
    );
  });

  test("keeps no more than a line of what it cannot use", () => {
    const session = new ServerSession(settings);
    const chunk = Buffer.alloc(4_096, "x");
    let isClosed = false;
    for (let i = 0; i < 30 && !isClosed; i++) {
      session.receive(chunk);
      const step = session.next();
      isClosed = step?.kind === "close";
    }
    expect(isClosed).toBe(true);
    expect(session.takeOutput()).toContain("421 4.5.0");
  });
});

describe("A message on its way through ServerSession", () => {
  const begin = "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n";
  const nasty = fc
    .array(fc.constantFrom("\r", "\n", ".", "\r\n", "\r\n.", ".\r\n", "a", "\0", "..", "\xff", "QUIT\r\n"), {
      maxLength: 40,
    })
    .map((words) => words.join(""));

  test("comes out of DATA to the octet", () => {
    fc.assert(
      fc.property(nasty, places, (text, where) => {
        const message = Buffer.from(`${text}\r\n`, "latin1");
        const wire = Buffer.concat([stuffDots(message), Buffer.from(".\r\nNOOP\r\n")]);
        const { steps, output } = play([begin, "DATA\r\n", ...cut(wire, where)]);
        expect(JSON.parse(steps.at(-1)!)).toBe(message.toString("latin1"));
        expect(output).toMatch(/250 2\.0\.0 Nothing done\r\n$/);
      }),
      { numRuns: 1_000 },
    );
  });

  test("comes out of BDAT to the octet, in whatever chunks", () => {
    fc.assert(
      fc.property(nasty, places, places, (text, chunks, where) => {
        const message = Buffer.from(text, "latin1");
        const wire = cut(message, chunks).map((chunk, i, all) =>
          Buffer.concat([Buffer.from(`BDAT ${chunk.length}${i === all.length - 1 ? " LAST" : ""}\r\n`), chunk]),
        );
        const { steps, output } = play([begin, ...cut(Buffer.concat([...wire, Buffer.from("NOOP\r\n")]), where)]);
        expect(JSON.parse(steps.at(-1)!)).toBe(text);
        expect(output).toMatch(/250 2\.0\.0 Nothing done\r\n$/);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each<[why: string, end: string]>([
    ["LF dot LF", "\n.\n"],
    ["LF dot CRLF", "\n.\r\n"],
    ["CR dot CR", "\r.\r"],
    ["CR dot CRLF", "\r.\r\n"],
    ["CRLF dot CR", "\r\n.\r"],
    ["CRLF dot LF", "\r\n.\n"],
    ["LF dot CR CRLF", "\n.\r\r\n"],
    ["CRLF dot CR CRLF", "\r\n.\r\r\n"],
    ["CRLF dot CR CR", "\r\n.\r\r"],
    ["CRLF NUL dot CRLF", "\r\n\0.\r\n"],
    ["CRLF dot NUL CRLF", "\r\n.\0\r\n"],
    ["CR NUL LF dot CRLF", "\r\0\n.\r\n"],
    ["CRLF dot CR NUL LF", "\r\n.\r\0\n"],
    ["CRLF dot blank CRLF", "\r\n. \r\n"],
    ["CRLF dot dot CRLF", "\r\n..\r\n"],
    ["blank dot CRLF", "\r\n .\r\n"],
    ["a dot with its eighth bit set", "\r\n\xae\r\n"],
    ["CR and LF with theirs", "\x8d\x8a.\x8d\x8a"],
    ["CRLF dot FF CRLF", "\r\n.\f\r\n"],
    ["the end of line of Unicode", "\u0085.\u0085"],
  ])("does not end at %s, wherever it is cut", (_why, end) => {
    const wire = Buffer.from(`a: b\r\n\r\nc${end}MAIL FROM:<eve@b.example>\r\n`, "latin1");
    for (let at = 0; at <= wire.length; at++) {
      const { steps, session } = play([begin, "DATA\r\n", wire.subarray(0, at), wire.subarray(at)]);
      expect([session.state, steps.at(-1)]).toEqual(["data", "data by DATA"]);
      session.receive(Buffer.from("\r\n.\r\n"));
      const kindsThen = [];
      for (let step = session.next(); step !== null; step = session.next()) {
        kindsThen.push(step.kind);
        agree(step, session);
      }
      expect(kindsThen.at(-1)).toBe("end-of-data");
    }
  });
});
