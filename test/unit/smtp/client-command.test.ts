import { describe, expect, test } from "vitest";
import type { EnvelopeOptions, RecipientOptions } from "../../../src/mail/envelope.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import {
  changedCommand,
  clientCommand,
  insertedCommand,
  lineOctetsMax,
  withParameter,
} from "../../../src/smtp/client-command.ts";
import { readExtensions, readLimits } from "../../../src/smtp/client-extensions.ts";
import { mailLine, rcptLine } from "../../../src/smtp/client-parameters.ts";
import { faultOf } from "../../support/fault-of.ts";

test("clientCommand: what would be two commands on the wire is none", () => {
  for (const line of ['RCPT TO:<"a\r\nDATA"@x.example>', "NOOP\n", "EHLO a\0b"])
    expect(faultOf(() => clientCommand(line)).code).toBe("command.not-allowed");
  expect(clientCommand('RCPT TO:<"a b"@x.example>').verb).toBe("RCPT");
});

describe("insertedCommand", () => {
  test.each(["NOOP", "XFORWARD NAME=a.example", "x-token abc", "VRFY <a@b.example>"])("takes %s", (line) => {
    expect(insertedCommand(line)).toMatchObject({ line, inserted: true });
  });

  test.each([
    { why: "EHLO", line: "EHLO a.example" },
    { why: "MAIL in small letters", line: "mail from:<>" },
    { why: "DATA", line: "DATA" },
    { why: "BDAT", line: "BDAT 5 LAST" },
    { why: "RSET", line: "RSET" },
    { why: "QUIT", line: "QUIT" },
    { why: "STARTTLS", line: "STARTTLS" },
    { why: "AUTH", line: "AUTH PLAIN x" },
    { why: "two lines", line: "NOOP\r\nDATA" },
    { why: "a bare LF", line: "NOOP\nDATA" },
    { why: "a NUL", line: "NOOP \0" },
    { why: "nothing", line: "" },
    { why: "a blank in front", line: " NOOP" },
    { why: "one octet more than there may be", line: `NOOP ${"x".repeat(lineOctetsMax - 4)}` },
    { why: "no text at all", line: 5 as unknown as string },
  ])("does not take $why", ({ line }) => {
    expect(faultOf(() => insertedCommand(line)).code).toBe("command.not-allowed");
  });

  test("takes a line of as many octets as there may be", () => {
    expect(insertedCommand(`NOOP ${"x".repeat(lineOctetsMax - 5)}`).line).toHaveLength(lineOctetsMax);
  });
});

describe("changedCommand", () => {
  test.each([
    ["MAIL", "MAIL FROM:<> BODY=8BITMIME"],
    ["MAIL", "mail from:<a@b.example>"],
    ["RCPT", "RCPT TO:<a@b.example>"],
    ["RCPT", 'RCPT TO:<"a>b"@c.example>'],
  ] as const)("%s may be %s", (verb, line) => {
    expect(changedCommand(verb, line)).toBe(line);
  });

  test.each([
    ["MAIL", "RCPT TO:<a@b.example>"],
    ["RCPT", "RCPT TO:<>"],
    ["RCPT", "RCPT TO:<a@b>\r\nDATA"],
    ["MAIL", "MAIL"],
    ["MAIL", "MAILFROM:<>"],
  ] as const)("%s may not be %j", (verb, line) => {
    expect(faultOf(() => changedCommand(verb, line)).code).toBe("command.not-allowed");
  });
});

describe("withParameter", () => {
  test.each([
    { why: "added", line: "MAIL FROM:<>", keyword: "ret", value: "HDRS", expected: "MAIL FROM:<> RET=HDRS" },
    {
      why: "replaced",
      line: "MAIL FROM:<> SIZE=1 RET=FULL",
      keyword: "SIZE",
      value: "2",
      expected: "MAIL FROM:<> RET=FULL SIZE=2",
    },
    {
      why: "taken away",
      line: "MAIL FROM:<> size=1 RET=FULL",
      keyword: "SIZE",
      value: null,
      expected: "MAIL FROM:<> RET=FULL",
    },
    { why: "without a value", line: "MAIL FROM:<>", keyword: "SMTPUTF8", value: "", expected: "MAIL FROM:<> SMTPUTF8" },
    {
      why: "behind a path with blanks and brackets",
      line: 'RCPT TO:<"a> SIZE=1 b"@c.example>',
      keyword: "SIZE",
      value: "2",
      expected: 'RCPT TO:<"a> SIZE=1 b"@c.example> SIZE=2',
    },
  ])("$why", ({ line, keyword, value, expected }) => {
    expect(withParameter(line, keyword, value)).toBe(expected);
  });

  test.each([
    { why: "a keyword with a blank", keyword: "A B", value: "1" },
    { why: "no keyword", keyword: "", value: "1" },
    { why: "a value with a line end", keyword: "A", value: "1\r\nDATA" },
    { why: "a value with a blank", keyword: "A", value: "1 B=2" },
    { why: "a value with an equals sign", keyword: "A", value: "1=2" },
  ])("does not take $why", ({ keyword, value }) => {
    expect(faultOf(() => withParameter("MAIL FROM:<>", keyword, value)).code).toBe("command.not-allowed");
  });
});

describe("mailLine and rcptLine", () => {
  const all = readExtensions(["x", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "REQUIRETLS"]);
  const none = readExtensions(["x"]);
  const options: EnvelopeOptions = { ret: "HDRS", envelopeId: "a+b c=ü", requireTls: true };
  const facts = { reversePath: null, sizeOctets: 9, eightBit: true, international: true, options };

  test.each([
    {
      why: "all there is",
      extensions: all,
      facts,
      line: "MAIL FROM:<> SIZE=9 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+2Bb+20c+3D+C3+BC",
    },
    {
      why: "a server that knows nothing",
      extensions: none,
      facts: { ...facts, options: { ret: "FULL" as const } },
      line: "MAIL FROM:<>",
    },
    {
      why: "binary octets",
      extensions: all,
      facts: { ...facts, international: false, options: { body: "BINARYMIME" as const } },
      line: "MAIL FROM:<> SIZE=9 BODY=BINARYMIME",
    },
    {
      why: "nothing to say",
      extensions: all,
      facts: { ...facts, reversePath: parseMailbox("a@b.example"), eightBit: false, international: false, options: {} },
      line: "MAIL FROM:<a@b.example> SIZE=9",
    },
  ])("MAIL: $why", ({ extensions, facts, line }) => {
    expect(mailLine(facts, extensions)).toBe(line);
  });

  const rcpt: { why: string; options?: RecipientOptions; dsn: boolean; line: string }[] = [
    {
      why: "NOTIFY and ORCPT",
      options: { notify: ["success", "delay"], originalRecipient: { type: "rfc822", address: "x+y@b.example" } },
      dsn: true,
      line: "RCPT TO:<a@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@b.example",
    },
    {
      why: "an international ORCPT",
      options: { originalRecipient: { type: "utf-8", address: "jörg+x@b.example" } },
      dsn: true,
      line: "RCPT TO:<a@b.example> ORCPT=utf-8;j\\x{F6}rg\\x{2B}x@b.example",
    },
    { why: "NEVER", options: { notify: ["never"] }, dsn: true, line: "RCPT TO:<a@b.example> NOTIFY=NEVER" },
    { why: "a server without DSN", options: { notify: ["never"] }, dsn: false, line: "RCPT TO:<a@b.example>" },
    { why: "nothing asked for", dsn: true, line: "RCPT TO:<a@b.example>" },
  ];
  test.each(rcpt)("RCPT: $why", ({ options, dsn, line }) => {
    const recipient = { mailbox: parseMailbox("a@b.example"), ...(options ? { options } : {}) };
    expect(rcptLine(recipient, dsn ? all : none)).toBe(line);
  });
});

describe("readExtensions and readLimits", () => {
  test("keywords in any case, their parameters, and what is none passed over", () => {
    const extensions = readExtensions(["name", "size 10", "AUTH PLAIN", "AUTH=LOGIN", "", "+bad", "X-A b  c"]);
    expect(Object.fromEntries(extensions)).toEqual({ SIZE: "10", AUTH: "PLAIN LOGIN", "X-A": "b  c" });
  });

  const none = Number.POSITIVE_INFINITY;
  test.each([
    { why: "all of them", lines: ["LIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1"], limits: [5, 20, 1, none] },
    { why: "none", lines: [], limits: [none, none, none, none] },
    { why: "SIZE", lines: ["SIZE 100"], limits: [none, none, none, 100] },
    { why: "SIZE without a bound", lines: ["SIZE"], limits: [none, none, none, none] },
    { why: "SIZE 0 is no bound", lines: ["SIZE 0"], limits: [none, none, none, none] },
    { why: "SIZE of words", lines: ["SIZE huge"], limits: [none, none, none, none] },
    {
      why: "zero, too many digits, words",
      lines: ["LIMITS RCPTMAX=0 MAILMAX=1000000 X RCPTDOMAINMAX=a"],
      limits: [none, none, none, none],
    },
  ])("limits: $why", ({ lines, limits }) => {
    const { transactionsMax, recipientsMax, domainsMax, sizeOctetsMax } = readLimits(
      readExtensions(["name", ...lines]),
    );
    expect([transactionsMax, recipientsMax, domainsMax, sizeOctetsMax]).toEqual(limits);
  });
});
