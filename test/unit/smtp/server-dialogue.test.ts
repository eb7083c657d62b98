import { describe, expect, test } from "vitest";
import type { Reply } from "../../../src/mail/status.ts";
import type { ServerSession } from "../../../src/smtp/server-session.ts";
import type { ServerSettings } from "../../../src/smtp/server-settings.ts";
import { agree, no, type On, ok, play } from "./session-driver.ts";

const hello = "EHLO a.example\r\n";
const toRcpt = `${hello}MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n`;
const watching: Partial<ServerSettings> = { watchesCommands: () => true, watchesReplies: () => true };
const later: Reply = { code: 451, status: "4.7.1", text: "later" };
const go: Reply = { code: 334, status: undefined, text: "go on" };

/** Consumes commands of a verb. */
const consuming = (verb: string, reply: Reply, close = false): Partial<ServerSettings> & { readonly on: On } => ({
  watchesCommands: () => true,
  on: { command: (step, session) => (step.verb === verb ? session.consume(reply, close) : session.goOn()) },
});

/** Turns replies to a verb into another. */
const turning = (verb: string, reply: Reply): Partial<ServerSettings> & { readonly on: On } => ({
  watchesReplies: () => true,
  on: { reply: (step, session) => session.say(step.verb === verb ? reply : step.reply) },
});

/** Captures the lines behind AUTH until the sink has two. */
function capturingAuth(end: (session: ServerSession) => void): Partial<ServerSettings> & { readonly on: On } {
  return {
    watchesCommands: () => true,
    on: {
      command: (step, session) => (step.verb === "AUTH" ? session.capture(go) : session.goOn()),
      captured: (step, session) => (step.line === "one" ? session.capture(go) : end(session)),
    },
  };
}

describe("ServerSession's command steps", () => {
  test("come before anything is done, whatever the verb", () => {
    const told = play([`${hello}x-foo  a b \r\n?\r\n`], watching);
    expect(told.steps).toEqual([
      "reply  220",
      "command EHLO|a.example|EHLO a.example",
      "EHLO a.example",
      "reply EHLO 250",
      "command X-FOO|a b|x-foo  a b ",
      "reply X-FOO 500",
      "command |?|?",
      "reply  500",
    ]);
  });

  test("do not come for lines with control characters, which no sink shall see", () => {
    expect(play(["NOOP a\rb\r\n"], watching).steps.slice(1)).toEqual(["reply NOOP 501"]);
  });

  test.each<[why: string, verb: string, line: string]>([
    ["MAIL", "MAIL", "MAIL FROM:<a@b.example>\r\n"],
    ["a command nobody knows", "X-FOO", "X-FOO\r\n"],
    ["QUIT", "QUIT", "QUIT\r\n"],
  ])("are the answer where consumed: %s", (_why, verb, line) => {
    const told = play([hello, line, "RCPT TO:<c@d.example>\r\n"], consuming(verb, no));
    expect(told.output).toMatch(/550 5\.7\.1 no\r\n503 5\.5\.1 MAIL first\r\n$/);
  });

  test("open no mail data where DATA is consumed, and close where mail data came all the same", () => {
    const told = play([toRcpt, "DATA\r\n", "NOOP\r\n"], consuming("DATA", no));
    expect(told.output).toMatch(/550 5\.7\.1 no\r\n250 2\.0\.0 Nothing done\r\n$/);
    expect(play([`${toRcpt}DATA\r\nNOOP\r\n`], consuming("DATA", no)).steps.at(-1)).toBe("close pipelining");
  });

  test("throw the chunk away where BDAT is consumed, and the message with it", () => {
    const told = play([`${toRcpt}BDAT 6\r\nQUIT\r\nBDAT 1 LAST\r\nxNOOP\r\n`], {
      watchesCommands: () => true,
      on: {
        command: (step, it) => (step.argument === "6" ? it.consume(no) : it.goOn()),
      },
    });
    expect(told.output).toMatch(/550 5\.7\.1 no\r\n503 5\.5\.1 .*\r\n250 2\.0\.0 Nothing done\r\n$/);
    expect(told.steps.join()).not.toContain("end-of-data");
  });

  test("close where they are consumed so", () => {
    const told = play([hello, "NOOP\r\nNOOP\r\n"], consuming("NOOP", { ...no, code: 421 }, true));
    expect(told.output).toMatch(/\r\n421 5\.7\.1 no\r\n$/);
    expect(told.session.state).toBe("closed");
  });

  test("count as commands that lead nowhere where consumed, a refused AUTH as an error", () => {
    expect(play([hello, "X\r\nX\r\n"], { ...consuming("X", ok), idleCommandsMax: 2 }).output).toContain("421 4.7.0");
    const auth = play([hello, "AUTH A\r\nAUTH A\r\n"], { ...consuming("AUTH", no), errorsMax: 2 });
    expect(auth.output).toContain("421 4.7.0 Too many errors");
  });

  test("take the next lines where captured, and let in who is let in", () => {
    const told = play(
      [`${hello}AUTH X-TOKEN\r\none\r\nNOOP \0\r\nNOOP\r\n`],
      capturingAuth((session) => {
        session.consume({ code: 235, status: "2.7.0", text: "in" });
        session.loggedIn();
      }),
    );
    expect(told.steps.slice(-4)).toEqual([
      "command AUTH|X-TOKEN|AUTH X-TOKEN",
      "captured one",
      "captured NOOP \0",
      "command NOOP||NOOP",
    ]);
    expect(told.output).toMatch(/334 go on\r\n334 go on\r\n235 2\.7\.0 in\r\n250 2\.0\.0 Nothing done\r\n$/);
    expect(told.session.authenticated).toBe(true);
    expect(told.session.protocol(false)).toBe("ESMTPA");
  });

  test("let nobody in where 235 is turned into a refusal", () => {
    const end = (session: ServerSession) => {
      session.consume({ code: 235, status: "2.7.0", text: "in" });
      session.loggedIn();
    };
    for (const reply of [no, { code: 235, status: "2.7.0", text: "yes" }]) {
      const { on, ...rest } = capturingAuth(end);
      const told = play([`${hello}AUTH X\r\ntwo\r\n`], {
        ...rest,
        watchesReplies: () => true,
        on: { ...on, reply: (step, session) => session.say(step.reply.code === 235 ? reply : step.reply) },
      });
      expect(told.session.authenticated).toBe(reply.code === 235);
    }
  });

  test("mask captured lines, whatever the verb", () => {
    const { session } = play([hello], { watchesCommands: () => true });
    const lines: string[] = [];
    session.onLine = (line) => lines.push(line);
    session.receive(Buffer.from("AUTH X\r\nsecret\r\nFOO\r\nopen\r\n"));
    for (const _captured of ["secret", "open"]) {
      session.next();
      session.capture(go);
      session.next();
      session.consume(ok);
    }
    expect(lines).toEqual(["AUTH X", "****", "FOO", "****"]);
  });

  test("end a dialogue whose line is too long", () => {
    const line = (octets: number) => `${"x".repeat(octets - 2)}\r\n`;
    const options = capturingAuth((session) => session.consume(ok));
    expect(play([`${hello}AUTH X\r\n${line(12_288)}`], options).output).toMatch(/250 2\.0\.0 ok\r\n$/);
    const told = play([`${hello}AUTH X\r\n${line(12_289)}NOOP\r\n`], options);
    expect(told.output).toMatch(/334 go on\r\n500 5\.5\.2 .*\r\n250 2\.0\.0 Nothing done\r\n$/);
  });
});

describe("ServerSession's reply steps", () => {
  test.each<[why: string, lines: readonly string[], verb: string, reply: Reply, end: RegExp]>([
    [
      "MAIL opens no transaction",
      [hello, "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n"],
      "MAIL",
      no,
      /550 5\.7\.1 no\r\n503.*\r\n$/,
    ],
    ["RCPT is no recipient", [toRcpt, "DATA\r\n"], "RCPT", no, /550 5\.7\.1 no\r\n503.*RCPT first\r\n$/],
    [
      "STARTTLS shakes no hands",
      [hello, "STARTTLS\r\n", "NOOP\r\n"],
      "STARTTLS",
      { ...later, code: 454 },
      /454 4\.7\.1 later\r\n250.*\r\n$/,
    ],
    [
      "DATA takes no mail data",
      [toRcpt, "DATA\r\n", "NOOP\r\n"],
      "DATA",
      later,
      /451 4\.7\.1 later\r\n250 2\.0\.0 Nothing done\r\n$/,
    ],
    [
      "AUTH lets nobody in",
      [hello, "AUTH PLAIN AGFubgBz\r\n", "AUTH X\r\n"],
      "AUTH",
      no,
      /550 5\.7\.1 no\r\n550 5\.7\.1 no\r\n$/,
    ],
    ["AUTH asks for no line", [hello, "AUTH LOGIN\r\n", "NOOP\r\n"], "AUTH", no, /550 5\.7\.1 no\r\n250.*\r\n$/],
    ["EHLO greets not", [hello, "MAIL FROM:<>\r\n"], "EHLO", later, /451 4\.7\.1 later\r\n503.*EHLO first\r\n$/],
    [
      "XCLIENT begins nothing anew",
      [hello, "XCLIENT LOGIN=ann\r\n", "MAIL FROM:<>\r\n"],
      "XCLIENT",
      no,
      /550 5\.7\.1 no\r\n250.*\r\n$/,
    ],
    [
      "a chunk spoils the message",
      [toRcpt, "BDAT 1\r\nx", "BDAT 1 LAST\r\nx"],
      "BDAT",
      later,
      /451 4\.7\.1 later\r\n451 4\.7\.1 later\r\n$/,
    ],
    ["QUIT closes all the same", ["QUIT\r\n", "NOOP\r\n"], "QUIT", no, /220.*\r\n550 5\.7\.1 no\r\n$/],
    ["the greeting closes", [hello], "", { ...no, code: 554 }, /^554 5\.7\.1 no\r\n$/],
  ])("are said as given, and hold: %s", (_why, lines, verb, reply, end) => {
    expect(play(lines, turning(verb, reply)).output).toMatch(end);
  });

  test("shake no hands where STARTTLS is turned down", () => {
    const told = play([toRcpt, "STARTTLS\r\n"], turning("STARTTLS", { ...later, code: 454 }));
    expect(told.steps.join()).not.toMatch(/starttls|reset/);
  });

  test("take no mail data behind BDAT that was refused, whatever the refusal is turned into", () => {
    const told = play([toRcpt, "BDAT 1\r\nx"], {
      watchesReplies: () => true,
      on: {
        data: (_step, session) => session.answer(no),
        reply: (step, session) => session.say(step.verb === "BDAT" ? { ...no, code: 354 } : step.reply),
      },
    });
    expect(told.session.state).toBe("command");
  });

  test("come for each reply, also of errors that close", () => {
    const told = play(["FOO\r\n", "FOO\r\n"], { ...watching, errorsMax: 2 });
    expect(told.steps.slice(-5)).toEqual([
      "reply FOO 500",
      "command FOO||FOO",
      "reply FOO 500",
      "reply FOO 421",
      "close errors",
    ]);
  });

  test("never come for a farewell nobody asked for", () => {
    const { session } = play([], { watchesReplies: () => true });
    session.end(later);
    expect(session.next()).toBeNull();
    expect(session.takeOutput()).toBe("451 4.7.1 later\r\n");
  });

  test("write the same as without them", () => {
    const lines = [
      toRcpt,
      "DATA\r\n",
      "a\r\n.\r\n",
      "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n",
      "FOO\r\n",
      "RSET\r\nQUIT\r\n",
    ];
    expect(play(lines, watching).output).toBe(play(lines).output);
  });
});

describe("ServerSession's steps for a message", () => {
  const lmtp: Partial<ServerSettings> = { protocol: "lmtp" };
  const toTwo =
    "LHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<no@d.example>\r\nRCPT TO:<e@d.example>\r\n";
  const answering: On = {
    rcpt: (step, session) => session.answer(step.path.includes("no@") ? no : ok),
    "end-of-data": (step, session) => {
      if (step.perRecipient) session.answerEach([ok, later], null);
      else agree(step, session);
    },
  };

  test("LMTP: one reply for each recipient that was accepted, by DATA and by BDAT LAST", () => {
    const end = /250 2\.0\.0 ok\r\n451 4\.7\.1 later\r\n250 2\.0\.0 Nothing done\r\n$/;
    expect(play([toTwo, "DATA\r\n", ".\r\nNOOP\r\n"], { ...lmtp, on: answering }).output).toMatch(end);
    expect(play([toTwo, "BDAT 0 LAST\r\nNOOP\r\n"], { ...lmtp, on: answering }).output).toMatch(end);
  });

  test("LMTP: one refusal for each recipient where BDAT LAST is refused", () => {
    const told = play([toTwo, "BDAT 1 LAST\r\nxNOOP\r\n"], {
      ...lmtp,
      on: { ...answering, data: (_step, session) => session.answer(later) },
    });
    expect(told.output).toMatch(/ ok\r\n451 4\.7\.1 later\r\n451 4\.7\.1 later\r\n250 2\.0\.0 Nothing done\r\n$/);
  });

  test("PRDR: 353, one reply for each recipient, and one for the message", () => {
    const lines = [`${toRcpt.replace("example>", "example> PRDR")}RCPT TO:<e@d.example>\r\n`, "DATA\r\n", ".\r\n"];
    const told = play(lines, { on: { "end-of-data": (_step, session) => session.answerEach([ok, later], ok) } });
    expect(told.output).toMatch(/\r\n353 .*\r\n250 2\.0\.0 ok\r\n451 4\.7\.1 later\r\n250 2\.0\.0 ok\r\n$/);
  });

  test("throw where there are not as many replies as recipients", () => {
    const { session } = play([toTwo], { ...lmtp, on: answering });
    session.receive(Buffer.from("BDAT 0 LAST\r\n"));
    session.next();
    session.answer({ code: 354, status: undefined, text: "" });
    session.next();
    expect(() => session.answerEach([ok], null)).toThrow("expected 2");
    session.answerEach([ok, ok], null);
  });

  test("BDAT: asked about before its first octet; a refusal comes behind the chunk, and BDAT is out of order until RSET", () => {
    const told = play([toRcpt, "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\nMAIL FROM:<>\r\n"], {
      on: { data: (_step, session) => session.answer(later) },
    });
    expect(told.output).toMatch(/451 4\.7\.1 later\r\n503 5\.5\.1 .*\r\n250 2\.0\.0 Reset\r\n250 2\.0\.0 ok\r\n$/);
    expect(told.steps.slice(3)).toEqual(["data by BDAT", "reset by RSET", "mail <> {}"]);
  });

  test("BDAT: a refusal that closes is said at once", () => {
    const told = play([toRcpt, "BDAT 6\r\n"], { on: { data: (_step, session) => session.answer(later, true) } });
    expect(told.output).toMatch(/451 4\.7\.1 later\r\n$/);
    expect(told.session.state).toBe("closed");
  });

  test("BDAT: said to be what it is, each chunk answered", () => {
    const told = play([toRcpt, "BDAT 3\r\na\r\nBDAT 0\r\nBDAT 2 LAST\r\n.\n"]);
    expect(told.output).toMatch(/250 2\.0\.0 3 octets taken\r\n250 2\.0\.0 0 octets taken\r\n250 2\.0\.0 ok\r\n$/);
    expect(told.steps.slice(3)).toEqual(["data by BDAT", "end-of-data", JSON.stringify("a\r\n.\n")]);
  });
});
