import { describe, expect, test } from "vitest";
import { ServerSession } from "../../../src/smtp/server-session.ts";
import type { ServerSettings } from "../../../src/smtp/server-settings.ts";
import { no, ok, play, settings } from "./session-driver.ts";

const hello = "EHLO a.example\r\n";
const toRcpt = `${hello}MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n`;

/** Codes of what was written, the greeting's left out, one for each reply. */
function codes(output: string): string {
  return output
    .split("\r\n")
    .filter((line) => /^\d{3}(?: |$)/.test(line))
    .map((line) => line.slice(0, 3))
    .slice(1)
    .join(" ");
}

describe("ServerSession", () => {
  test.each<[why: string, lines: string, replies: string, changed?: Partial<ServerSettings>]>([
    ["a message", `${toRcpt}DATA\r\n`, "250 250 250 354"],
    ["RCPT before MAIL", `${hello}RCPT TO:<c@d.example>\r\n`, "250 503"],
    ["MAIL before EHLO", "MAIL FROM:<a@b.example>\r\n", "503"],
    ["DATA before RCPT", `${hello}MAIL FROM:<>\r\nDATA\r\n`, "250 250 503"],
    ["MAIL within a transaction", `${toRcpt}MAIL FROM:<>\r\n`, "250 250 250 503"],
    [
      "BINARYMIME by DATA",
      `${hello}MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<c@d.example>\r\nDATA\r\n`,
      "250 250 250 503",
    ],
    ["BINARYMIME not offered", `${hello}MAIL FROM:<> BODY=BINARYMIME\r\n`, "250 501", { binaryMime: false }],
    ["LHLO on SMTP", "LHLO a.example\r\n", "500"],
    ["EHLO on LMTP", hello, "500", { protocol: "lmtp" }],
    ["HELO on LMTP", "HELO a.example\r\n", "500", { protocol: "lmtp" }],
    ["LHLO on LMTP", "LHLO a.example\r\nMAIL FROM:<>\r\n", "250 250", { protocol: "lmtp" }],
    ["PRDR on LMTP", "LHLO a.example\r\nMAIL FROM:<> PRDR\r\n", "250 555", { protocol: "lmtp" }],
    [
      "DATA on LMTP without a recipient",
      "LHLO a.example\r\nMAIL FROM:<>\r\nDATA\r\n",
      "250 250 503",
      { protocol: "lmtp" },
    ],
    ["XCLIENT of a stranger", "XCLIENT NAME=a.example\r\n", "550", { xclient: false }],
    ["XFORWARD of a stranger", "XFORWARD NAME=a.example\r\n", "550", { xforward: false }],
    ["XCLIENT within a transaction", `${toRcpt}XCLIENT NAME=a.example\r\n`, "250 250 250 503"],
    ["XCLIENT that cannot be read", "XCLIENT ADDR=nowhere\r\n", "501"],
    ["STARTTLS not offered", `${hello}STARTTLS\r\n`, "250 502", { startTls: false }],
    ["REQUIRETLS in the clear", `${hello}MAIL FROM:<> REQUIRETLS\r\n`, "250 530"],
    ["AUTH not offered", `${hello}AUTH PLAIN\r\n`, "250 502", { mechanisms: () => [], startTls: false }],
    ["AUTH that needs TLS", `${hello}AUTH PLAIN\r\n`, "250 538", { mechanisms: () => [] }],
    ["a mechanism not offered", `${hello}AUTH X-TOKEN\r\n`, "250 504"],
    ["AUTH within a transaction", `${toRcpt}AUTH PLAIN\r\n`, "250 250 250 503"],
    ["AUTH twice", `${hello}AUTH PLAIN AGFubgBz\r\nAUTH PLAIN\r\n`, "250 235 503"],
    ["STARTTLS twice", `${hello}STARTTLS\r\n`, "250 220"],
    ["VRFY, HELP, NOOP, EXPN", "VRFY a\r\nHELP\r\nNOOP\r\nEXPN a\r\n", "252 214 250 502"],
    ["a line of 2,048 octets", `NOOP ${"x".repeat(2_041)}\r\n`, "250"],
    ["a line of 2,049 octets", `NOOP ${"x".repeat(2_042)}\r\n`, "500"],
    ["a SASL answer of 12,288 octets", `${hello}AUTH LOGIN\r\n${"A".repeat(12_284)}==\r\n`, "250 334 501"],
    ["a SASL answer of 12,289 octets", `${hello}AUTH LOGIN\r\n${"A".repeat(12_287)}\r\nNOOP\r\n`, "250 334 500 250"],
    ["an AUTH line of 12,288 octets", `${hello}AUTH PLAIN ${"A".repeat(12_275)}\r\n`, "250 501"],
    ["HTTP", "GET / HTTP/1.1\r\nNOOP\r\n", "421"],
    ["control characters", "NOOP\0\r\n", "501"],
  ])("answers %s", (_why, lines, replies, changed) => {
    expect(codes(play([lines], changed).output)).toBe(replies);
  });

  test("lists what is offered here and now", () => {
    const { output } = play([`${hello}STARTTLS\r\n`, `${hello}AUTH PLAIN AGFubgBz\r\n${hello}`], {
      recipientsMax: 7,
    });
    const lists = output.split("250-mx.example.test\r\n").slice(1);
    expect(
      lists.map((list) =>
        list
          .split("\r\n")
          .filter((line) => /^250/.test(line))
          .map((line) => line.slice(4)),
      ),
    ).toEqual([
      [
        "PIPELINING",
        "SIZE 1000",
        "8BITMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "PRDR",
        "LIMITS RCPTMAX=7",
        "STARTTLS",
        "AUTH PLAIN LOGIN SCRAM-SHA-256",
        "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
        "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
      ],
      expect.arrayContaining(["REQUIRETLS", "AUTH PLAIN LOGIN SCRAM-SHA-256"]),
      expect.not.arrayContaining(["STARTTLS", "AUTH PLAIN LOGIN SCRAM-SHA-256"]),
    ]);
    expect(lists[1]).not.toContain("STARTTLS");
    expect(play(["HELO a.example\r\n"]).output).toMatch(/\r\n250 mx\.example\.test\r\n$/);
  });

  test("hears nothing that was sent behind STARTTLS in the clear, and begins anew", () => {
    const told = play([`${toRcpt}STARTTLS\r\nMAIL FROM:<eve@b.example>\r\n`, "NOOP\r\nMAIL FROM:<a@b.example>\r\n"]);
    expect(told.steps.join()).not.toContain("eve@");
    expect(told.steps.slice(-2)).toEqual(["reset by STARTTLS", "starttls"]);
    // RFC 3207 §4.2.
    expect(told.output).toMatch(/250 2\.0\.0 Nothing done\r\n503 5\.5\.1/);
  });

  test("keeps what it knows where TLS is there from the start", () => {
    const { session } = play([]);
    session.secured();
    session.receive(Buffer.from(hello));
    expect(session.next()).toMatchObject({ kind: "helo", keywords: expect.arrayContaining(["REQUIRETLS"]) as unknown });
  });

  test("closes where mail data comes before 354", () => {
    const told = play([`${toRcpt}DATA\r\nx`]);
    expect(told.output).toMatch(/503 5\.5\.0 .*\r\n$/);
    expect(told.steps.at(-1)).toBe("close pipelining");
    expect(told.session.state).toBe("closed");
  });

  test.each<[why: string, line: string, changed: Partial<ServerSettings>, until: number]>([
    ["errors", "FOO\r\n", { errorsMax: 3 }, 3],
    ["failed logins", "AUTH PLAIN !\r\n", { errorsMax: 3 }, 3],
    ["commands that lead nowhere", "NOOP\r\n", { idleCommandsMax: 3 }, 3],
    ["RSET", "RSET\r\n", { idleCommandsMax: 3 }, 3],
    ["HELP", "HELP\r\n", { idleCommandsMax: 3 }, 3],
    ["VRFY", "VRFY a\r\n", { idleCommandsMax: 3 }, 3],
    ["EXPN", "EXPN a\r\n", { idleCommandsMax: 3 }, 3],
    ["a repeated EHLO", hello, { idleCommandsMax: 3 }, 3],
  ])("sends a client away for %s", (_why, line, changed, until) => {
    const below = play([hello, ...Array<string>(until - 1).fill(line)], changed);
    expect(below.output).not.toContain("421");
    const at = play([hello, ...Array<string>(until + 1).fill(line)], changed);
    expect(
      codes(at.output)
        .split(" ")
        .slice(until + 1),
    ).toEqual(["421"]);
    expect(at.steps.at(-1)).toBe("close errors");
  });

  test("counts idle commands anew behind an accepted message only", () => {
    const message = [`MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n`, ".\r\n"];
    const run = (reply: typeof ok) =>
      play([hello, "NOOP\r\nNOOP\r\n", ...message, "NOOP\r\nNOOP\r\n"], {
        idleCommandsMax: 3,
        on: { "end-of-data": (_step, session) => session.answer(reply) },
      }).output;
    expect(run(ok)).not.toContain("421");
    expect(run(no)).toContain("421");
  });

  test.each<[why: string, lines: readonly string[], protocol: string, changed?: Partial<ServerSettings>]>([
    ["HELO", ["HELO a\r\n"], "SMTP"],
    ["EHLO", [hello], "ESMTP"],
    ["a login", [hello, "AUTH PLAIN AGFubgBz\r\n"], "ESMTPA"],
    ["TLS", [hello, "STARTTLS\r\n", hello], "ESMTPS"],
    ["both", [hello, "STARTTLS\r\n", `${hello}AUTH PLAIN AGFubgBz\r\n`], "ESMTPSA"],
    ["HELO over TLS, for which there is no word", [hello, "STARTTLS\r\n", "HELO a\r\n"], "SMTP"],
    ["LMTP", ["LHLO a\r\n"], "LMTP", { protocol: "lmtp" }],
    ["LMTP over TLS", ["LHLO a\r\nSTARTTLS\r\n", "LHLO a\r\n"], "LMTPS", { protocol: "lmtp" }],
  ])("names the protocol behind %s", (_why, lines, protocol, changed) => {
    const { session } = play(lines, changed);
    expect(session.protocol(false)).toBe(protocol);
    const international = protocol === "SMTP" ? "SMTP" : `UTF8${protocol.replace(/^E/, "")}`;
    expect(session.protocol(true)).toBe(international);
  });

  test("tells what octets it expects", () => {
    const tell = (...lines: string[]) => play(lines).session.state;
    expect(tell(hello)).toBe("command");
    expect(tell("x".repeat(20_000))).toBe("command");
    expect(tell(toRcpt, "DATA\r\n", "a")).toBe("data");
    expect(tell(toRcpt, "BDAT 5\r\n", "a")).toBe("chunk");
    expect(tell(hello, "AUTH LOGIN\r\n")).toBe("sasl");
    expect(tell("QUIT\r\n")).toBe("closed");
  });

  test("keeps the transaction where EHLO is refused within it", () => {
    const refused = play([`${toRcpt}EHLO b.example\r\nDATA\r\n`], {
      on: { helo: (step, session) => (step.name === "b.example" ? session.answer(no) : session.welcome([])) },
    });
    expect(refused.steps.join()).not.toContain("reset");
    expect(refused.output).toMatch(/550 5\.7\.1 no\r\n354 /);
    const taken = play([`${toRcpt}${hello}DATA\r\n`]);
    expect(taken.steps).toContain("reset by HELO");
    expect(taken.output).toMatch(/503 5\.5\.1 MAIL first\r\n$/);
  });

  test("takes a login of the peer's own for none of the client that XCLIENT speaks of", () => {
    const login = "AUTH PLAIN AGFubgBz\r\n";
    const loggedIn = (line: string) => play([`${hello}${login}${line}`]).session.authenticated;
    expect(loggedIn("")).toBe(true);
    expect(loggedIn("XCLIENT ADDR=192.0.2.1\r\n")).toBe(false);
    expect(loggedIn("XCLIENT LOGIN=[UNAVAILABLE]\r\n")).toBe(false);
    expect(loggedIn("XCLIENT LOGIN=bob\r\n")).toBe(true);
  });

  test("closes where mail data came while DATA was still to be refused", () => {
    const { session, steps } = play([toRcpt], { on: { data: () => {} } });
    session.receive(Buffer.from("DATA\r\n"));
    expect(session.next()).toMatchObject({ kind: "data" });
    session.receive(Buffer.from("Subject: x\r\n\r\nMAIL FROM:<eve@b.example>\r\n.\r\n"));
    session.answer(no);
    expect(session.next()).toEqual({ kind: "close", reason: "pipelining" });
    expect(session.next()).toBeNull();
    expect(steps.join()).not.toContain("eve@");
  });

  test.each<[why: string, lines: readonly string[]]>([
    ["PLAIN", ["AUTH PLAIN", "\0ann\r\nX: y\0s"]],
    ["LOGIN", ["AUTH LOGIN", "ann\n"]],
    ["LOGIN, with no name at all", ["AUTH LOGIN", ""]],
    ["SCRAM", ["AUTH SCRAM-SHA-256", "n,,n=ann\t,r=nonce"]],
    ["SCRAM, with an extension that must be understood", ["AUTH SCRAM-SHA-256", "n,,n=ann,r=nonce,m=1"]],
  ])("takes no user whose name holds control characters: %s", (_why, [command, answer]) => {
    const told = play([`${hello}${command}\r\n${Buffer.from(answer!).toString("base64")}\r\n`]);
    expect(told.steps.join()).not.toMatch(/auth|scram/);
    expect(told.output).toMatch(/501 5\.5\.2 The credentials cannot be read\r\n$/);
  });

  test("shows lines to whoever follows, without their secrets", () => {
    const { session } = play([]);
    const lines: string[] = [];
    session.onLine = (line) => lines.push(line);
    session.receive(Buffer.from(`${hello}auth plain AGFubgBz\r\nRSET\r\n`));
    session.next();
    session.welcome([]);
    session.next();
    session.answer(no);
    session.next();
    session.receive(Buffer.from("AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n"));
    session.next();
    expect(lines).toEqual(["EHLO a.example", "auth plain ****", "RSET", "AUTH LOGIN", "****", "****"]);
  });

  test.each<[why: string, xclient: string, next: string]>([
    ["a user", "XCLIENT LOGIN=ann\r\n", "503"],
    ["nobody", "XCLIENT LOGIN=[UNAVAILABLE]\r\n", "235"],
    ["nothing of it", "XCLIENT NAME=a.example\r\n", "235"],
  ])("begins anew behind XCLIENT that tells of %s", (_why, xclient, next) => {
    const told = play([hello, `MAIL FROM:<>\r\nRSET\r\n${xclient}MAIL FROM:<>\r\n${hello}AUTH PLAIN AGFubgBz\r\n`]);
    expect(codes(told.output)).toBe(`250 250 250 220 503 250 ${next}`);
  });

  test("says the last words once, and takes no more", () => {
    const { session } = play([toRcpt]);
    session.receive(Buffer.from("NOOP\r\n"));
    session.end({ code: 421, status: "4.3.2", text: "Bye" });
    session.end({ code: 421, status: "4.3.2", text: "Bye again" });
    session.answer(ok);
    session.receive(Buffer.from("NOOP\r\n"));
    expect(session.next()).toBeNull();
    expect(session.takeOutput()).toBe("421 4.3.2 Bye\r\n");
  });

  test("refuses instead of greeting, and closes", () => {
    const session = new ServerSession(settings);
    session.refuseGreeting({ code: 554, status: "5.7.1", text: "not you" });
    session.receive(Buffer.from("NOOP\r\n"));
    expect([session.next(), session.takeOutput(), session.state]).toEqual([null, "554 5.7.1 not you\r\n", "closed"]);
  });

  test("greets in the words it is given, LMTP as LMTP", () => {
    const lmtp = new ServerSession({ ...settings, protocol: "lmtp" });
    lmtp.greet();
    expect(lmtp.takeOutput()).toBe("220 mx.example.test LMTP OnArrival\r\n");
    lmtp.greet("hello");
    expect(lmtp.takeOutput()).toBe("220 mx.example.test hello\r\n");
  });
});
