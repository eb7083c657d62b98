import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ServerSession } from "../../../src/smtp/server-session.ts";

/** Plays octets to a session that agrees to everything; gives its steps and what it wrote. */
function play(pieces: readonly Buffer[]): { readonly steps: readonly string[]; readonly output: string } {
  const session = new ServerSession({
    hostname: "mx.example.test",
    sizeOctetsMax: 1_000,
    recipientsMax: 100,
    tls: true,
    mechanisms: () => ["PLAIN", "LOGIN"],
    errorsMax: 10,
  });
  const steps: string[] = [];
  let output = "";
  let data = "";
  session.greet();
  for (const piece of pieces) {
    session.receive(piece);
    for (let step = session.next(); step !== null; step = session.next()) {
      if (step.kind === "octets") {
        data += step.octets.toString("latin1");
        session.goOn();
        continue;
      }
      if (step.kind === "end-of-data") {
        steps.push(`message ${JSON.stringify(data)}`);
        data = "";
      } else steps.push(step.kind === "mail" || step.kind === "rcpt" ? `${step.kind} ${step.path}` : step.kind);
      if (step.kind === "chunking" || step.kind === "reset") session.goOn();
      else if (step.kind === "starttls") session.secured();
      else if (step.kind === "data") session.answer({ code: 354, status: undefined, text: "go" });
      else if (step.kind === "auth") session.answer({ code: 235, status: "2.7.0", text: "in" });
      else if (step.kind !== "close") session.answer({ code: 250, status: undefined, text: "ok" });
    }
    output += session.takeOutput();
  }
  return { steps, output: output + session.takeOutput() };
}

function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (octets.length + 1)))].sort((one, other) => one - other);
  return [0, ...sorted].map((from, i) => octets.subarray(from, sorted[i] ?? octets.length));
}

const words = fc
  .array(
    fc.constantFrom(
      "EHLO a.example\r\n",
      "HELO a.example\r\n",
      "MAIL FROM:<a@b.example>\r\n",
      "RCPT TO:<c@d.example>\r\n",
      "BDAT 5\r\nA: b\r",
      "BDAT 3 LAST\r\n\n\r\n",
      "BDAT 0 LAST\r\n",
      "RSET\r\n",
      "NOOP\r\n",
      "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
      "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n",
      "AUTH PLAIN\r\n*\r\n",
      "FOO\r\n",
      "\n",
      "\r",
      "x\r\n",
    ),
    { maxLength: 14 },
  )
  .map((lines) => `EHLO first.example\r\n${lines.join("")}`);

describe("ServerSession", () => {
  test("gives the same steps and replies however the octets are cut", () => {
    fc.assert(
      fc.property(words, fc.array(fc.nat(400), { maxLength: 12 }), (text, places) => {
        const octets = Buffer.from(text);
        expect(play(cut(octets, places))).toEqual(play([octets]));
      }),
      { numRuns: 1_500 },
    );
  });

  test("never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (pieces) => {
        expect(play(pieces.map((piece) => Buffer.from(piece))).output).toContain("220 mx.example.test");
      }),
      { numRuns: 1_500 },
    );
  });

  test("hears nothing that was sent behind STARTTLS in the clear", () => {
    const told = play([
      Buffer.from("EHLO a.example\r\nSTARTTLS\r\nMAIL FROM:<eve@b.example>\r\n"),
      Buffer.from("NOOP\r\nMAIL FROM:<a@b.example>\r\n"),
    ]);
    expect(told.steps.join()).not.toContain("eve@");
    // Behind the handshake the client begins anew. RFC 3207 §4.2.
    expect(told.output).toMatch(/250 2\.0\.0 Nothing done\r\n503 5\.5\.1/);
  });

  test("logs in by PLAIN and LOGIN, and offers no AUTH after", () => {
    expect(
      play([Buffer.from("EHLO a.example\r\nAUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\nEHLO a.example\r\n")]).output,
    ).toMatch(/AUTH PLAIN LOGIN.*334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2\.7\.0 in\r\n250-(?!.*AUTH)/s);
  });
});
