import { describe, expect, test } from "vitest";
import { clientCommand } from "../../../src/smtp/client-command.ts";
import { ClientSession, type ClientStep } from "../../../src/smtp/client-session.ts";

/** Plays `C: …` as commands of ours and `S: …` as octets of the server; tells what came of it. */
function play(...turns: readonly string[]): { readonly steps: string[]; readonly session: ClientSession } {
  const session = new ClientSession();
  const steps: string[] = [];
  for (const turn of turns) {
    const text = turn.slice(3);
    if (turn.startsWith("C: ")) session.send(clientCommand(text));
    else if (turn === "data") session.beginData();
    else if (turn === "each") session.beginData({ replies: 2 });
    else if (turn === "end") session.endData();
    else if (turn === "tls") session.secured();
    else session.receive(Buffer.from(`${text}\r\n`));
    for (let step = session.next(); step !== null; step = session.next()) steps.push(describeStep(step));
  }
  return { steps, session };
}

function describeStep(step: ClientStep): string {
  if (step.kind === "violation") return `violation: ${step.reason}`;
  return `${step.kind === "reply" ? step.command.verb || "greeting" : "farewell"} ${step.reply.code}`;
}

describe("ClientSession", () => {
  const rows: { why: string; turns: string[]; steps: string[] }[] = [
    {
      why: "each reply stands beside its command",
      turns: ["S: 220 hi", "C: EHLO a", "S: 250 b", "C: MAIL FROM:<>", "C: RCPT TO:<a@b>", "S: 250 ok\r\n550 no"],
      steps: ["greeting 220", "EHLO 250", "MAIL 250", "RCPT 550"],
    },
    { why: "words before the greeting", turns: ["S: hello"], steps: ['violation: it said what is no reply: "hello"'] },
    {
      why: "a greeting that is no greeting",
      turns: ["S: 250 hi"],
      steps: ["violation: it answered 250 to the connection"],
    },
    { why: "a refusal in the place of the greeting", turns: ["S: 554 no"], steps: ["greeting 554"] },
    {
      why: "a reply before there is a command",
      turns: ["S: 220 hi\r\n250 welcome"],
      steps: ["greeting 220", "violation: it said 250, and nobody had asked"],
    },
    {
      why: "two replies to one command",
      turns: ["S: 220 hi", "C: EHLO a", "S: 250 b\r\n250 c"],
      steps: ["greeting 220", "EHLO 250", "violation: it said 250, and nobody had asked"],
    },
    {
      why: "421 that nobody asked for",
      turns: ["S: 220 hi", "S: 421 bye"],
      steps: ["greeting 220", "farewell 421"],
    },
    {
      why: "354 to MAIL",
      turns: ["S: 220 hi", "C: MAIL FROM:<>", "S: 354 go"],
      steps: ["greeting 220", "violation: it answered 354 to MAIL"],
    },
    {
      why: "250 to DATA",
      turns: ["S: 220 hi", "C: DATA", "S: 250 ok"],
      steps: ["greeting 220", "violation: it answered 250 to DATA"],
    },
    {
      why: "334 to MAIL, as if it were AUTH",
      turns: ["S: 220 hi", "C: MAIL FROM:<>", "S: 334 x"],
      steps: ["greeting 220", "violation: it answered 334 to MAIL"],
    },
    {
      why: "334 and 235 to AUTH",
      turns: ["S: 220 hi", "C: AUTH LOGIN", "S: 334 x", "C: AUTH", "S: 235 in"],
      steps: ["greeting 220", "AUTH 334", "AUTH 235"],
    },
    {
      why: "the message is taken when it is there",
      turns: ["S: 220 hi", "C: DATA", "S: 354 go", "data", "end", "S: 250 ok"],
      steps: ["greeting 220", "DATA 354", "_EOD 250"],
    },
    {
      why: "the message is taken before it is there",
      turns: ["S: 220 hi", "C: DATA", "S: 354 go", "data", "S: 250 ok"],
      steps: ["greeting 220", "DATA 354", "violation: it answered 250 to a message that it has not seen to its end"],
    },
    {
      why: "a refusal may come before the end",
      turns: ["S: 220 hi", "C: DATA", "S: 354 go", "data", "S: 552 too much"],
      steps: ["greeting 220", "DATA 354", "_EOD 552"],
    },
    {
      why: "LMTP: a reply for each recipient",
      turns: ["S: 220 hi", "C: DATA", "S: 354 go", "each", "end", "S: 250 ok\r\n550 no"],
      steps: ["greeting 220", "DATA 354", "_EOD 250", "_EOD 550"],
    },
    {
      why: "words between 220 and the handshake",
      turns: ["S: 220 hi", "C: STARTTLS", "S: 220 go\r\n250 injected"],
      steps: ["greeting 220", "violation: it spoke on between 220 and the handshake"],
    },
    {
      why: "half a word between 220 and the handshake",
      turns: ["S: 220 hi", "C: STARTTLS", "S: 220 go\r\n2"],
      steps: ["greeting 220", "violation: it spoke on between 220 and the handshake"],
    },
    {
      why: "nothing follows a violation",
      turns: ["S: hello", "C: EHLO a", "S: 250 b"],
      steps: ['violation: it said what is no reply: "hello"'],
    },
  ];
  test.each(rows)("$why", ({ turns, steps }) => {
    expect(play(...turns).steps).toEqual(steps);
  });

  test("extensions are those of the last EHLO, and none from before a handshake", () => {
    const hello = ["S: 220 hi", "C: EHLO a", "S: 250-b\r\n250-STARTTLS\r\n250 size 10"];
    expect([...play(...hello).session.extensions]).toEqual([
      ["STARTTLS", ""],
      ["SIZE", "10"],
    ]);
    expect(play(...hello, "C: STARTTLS", "S: 220 go", "tls").session.extensions.size).toBe(0);
    expect(play(...hello, "C: HELO a", "S: 250-b\r\n250 PIPELINING").session.extensions.size).toBe(0);
    expect(play(...hello, "C: EHLO a", "S: 550 no").session.extensions.size).toBe(0);
  });

  test("takeOutput gives all that was said since, in one piece", () => {
    const session = new ClientSession();
    session.send(clientCommand("MAIL FROM:<>"));
    session.send(clientCommand("RCPT TO:<a@b>"));
    session.beginData({ line: "BDAT 5 LAST" });
    expect(session.takeOutput()).toBe("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nBDAT 5 LAST\r\n");
    expect(session.takeOutput()).toBe("");
    expect(session.outstanding).toBe(4);
  });
});
