import { describe, expect, test } from "vitest";
import type { EventName } from "../../../src/events/event.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { Header } from "../../../src/mail/header.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { noFacts, parseFacts } from "../../support/rule-facts.ts";

type Row = readonly [why: string, rule: string, facts: string, holds: boolean];

const rows: readonly Row[] = [
  // MAIL FROM
  ["an exact mailbox", "MAIL FROM=ann@example.org", "from ann@example.org", true],
  ["another local part", "MAIL FROM=ann@example.org", "from bob@example.org", false],
  ["another domain", "MAIL FROM=ann@example.org", "from ann@example.com", false],
  ["case of the local part does not count", "MAIL FROM=Ann@example.org", "from aNN@example.org", true],
  ["case of the domain does not count", "MAIL FROM=ann@EXAMPLE.org", "from ann@example.ORG", true],
  ["case of the key does not count", "mail from=ann@example.org", "from ann@example.org", true],
  ["blanks around everything", "  MAIL   FROM  =  ann@example.org  ", "from ann@example.org", true],
  ["star for the whole local part", "MAIL FROM=*@example.org", "from x@example.org", true],
  ["two stars for the whole local part", "MAIL FROM=**@example.org", "from x@example.org", true],
  ["no local part means any", "MAIL FROM=@example.org", "from x@example.org", true],
  ["a domain is not its subdomain", "MAIL FROM=*@example.org", "from x@sub.example.org", false],
  ["star at the end of the local part", "MAIL FROM=info*@example.org", "from info-de@example.org", true],
  ["star at the end stands for nothing too", "MAIL FROM=info*@example.org", "from info@example.org", true],
  ["star at the end needs the beginning", "MAIL FROM=info*@example.org", "from xinfo@example.org", false],
  ["star at the beginning of the local part", "MAIL FROM=*-bounces@example.org", "from list-bounces@example.org", true],
  ["star at the beginning needs the end", "MAIL FROM=*-bounces@example.org", "from list-bounces-1@example.org", false],
  ["stars at both ends", "MAIL FROM=*bounce*@example.org", "from list-bounce-1@example.org", true],
  ["stars at both ends, in upper case", "MAIL FROM=*bounce*@example.org", "from LIST-BOUNCE-1@example.org", true],
  ["stars at both ends, at the very end", "MAIL FROM=*bounce*@example.org", "from list-bounce@example.org", true],
  ["stars at both ends, not there", "MAIL FROM=*bounce*@example.org", "from list-bounc@example.org", false],
  ["a local part shorter than the pattern", "MAIL FROM=*bounce@example.org", "from b@example.org", false],
  ["a quoted local part is compared unquoted", 'MAIL FROM="a b"@example.org', 'from "a b"@example.org', true],
  ["quotes that were not needed", 'MAIL FROM="ann"@example.org', "from ann@example.org", true],
  ["a quoted star is the character", 'MAIL FROM="*"@example.org', "from *@example.org", true],
  ["a quoted star is nothing else", 'MAIL FROM="*"@example.org', "from ann@example.org", false],
  ["a semicolon inside a quoted local part", 'MAIL FROM="a\\;b"@example.org', "from ann@example.org", false],
  ["a whole pattern in quotes", 'MAIL FROM="ann@example.org"', "from ann@example.org", true],
  ["a whole pattern in angle brackets", "MAIL FROM=<ann@example.org>", "from ann@example.org", true],
  ["subdomains, one label", "MAIL FROM=*@*.example.org", "from x@a.example.org", true],
  ["subdomains, two labels", "MAIL FROM=*@*.example.org", "from x@a.b.example.org", true],
  ["subdomains without the domain itself", "MAIL FROM=*@*.example.org", "from x@example.org", false],
  ["subdomains, not a longer name", "MAIL FROM=*@*.example.org", "from x@badexample.org", false],
  ["a loose suffix covers the domain", "MAIL FROM=*@*example.org", "from x@example.org", true],
  ["a loose suffix covers longer names, as in the ancestor", "MAIL FROM=*@*example.org", "from x@badexample.org", true],
  ["a loose suffix covers subdomains", "MAIL FROM=*@*example.org", "from x@a.example.org", true],
  ["a loose suffix without local part", "MAIL FROM=*example.org", "from x@badexample.org", true],
  ["subdomains without local part", "MAIL FROM=*.example.org", "from x@a.example.org", true],
  ["a suffix in the middle of a label", "MAIL FROM=*@*-mail.example", "from x@big-mail.example", true],
  ["a top-level domain", "MAIL FROM=*@*.example", "from x@example.example", true],
  ["any domain", "MAIL FROM=postmaster@*", "from postmaster@example.com", true],
  ["any domain, other local part", "MAIL FROM=postmaster@*", "from ann@example.com", false],
  ["an address literal", "MAIL FROM=*@[192.0.2.1]", "from x@[192.0.2.1]", true],
  ["another address literal", "MAIL FROM=*@[192.0.2.1]", "from x@[192.0.2.2]", false],
  ["the null reverse-path", "MAIL FROM=<>", "from <>", true],
  ["the null reverse-path is no mailbox", "MAIL FROM=<>", "from ann@example.org", false],
  ["star alone is any reverse-path", "MAIL FROM=*", "from ann@example.org", true],
  ["star alone is the null one too", "MAIL FROM=*", "from <>", true],
  ["*@* is any mailbox, and so not the null one", "MAIL FROM=*@*", "from <>", false],
  ["*@* is any mailbox", "MAIL FROM=*@*", "from x@example.org", true],
  ["no MAIL yet: not even star holds", "MAIL FROM=*", "", false],
  ["no MAIL yet: <> does not hold", "MAIL FROM=<>", "", false],
  ["IDN pattern, ASCII mailbox", "MAIL FROM=*@bücher.example", "from x@xn--bcher-kva.example", true],
  ["ASCII pattern, IDN mailbox", "MAIL FROM=*@xn--bcher-kva.example", "from x@bücher.example", true],
  ["IDN pattern, IDN mailbox, other case", "MAIL FROM=*@BÜCHER.example", "from x@bücher.example", true],
  ["subdomains of an IDN", "MAIL FROM=*@*.bücher.example", "from x@a.bücher.example", true],
  ["international local part, other case", "MAIL FROM=JÜRGEN@example.org", "from jürgen@example.org", true],
  [
    "international local part, decomposed accent",
    "MAIL FROM=ju\u0308rgen@example.org",
    "from jürgen@example.org",
    true,
  ],
  ["plus addressing", "MAIL FROM=ann+*@example.org", "from ann+news@example.org", true],
  // RCPT TO
  ["the only recipient", "RCPT TO=ann@example.org", "to ann@example.org", true],
  [
    "any one of several recipients is enough",
    "RCPT TO=ann@example.org",
    "to bob@example.org; to ann@example.org",
    true,
  ],
  ["none of several recipients", "RCPT TO=ann@example.org", "to bob@example.org; to cyd@example.org", false],
  ["no recipient yet", "RCPT TO=*", "from ann@example.org", false],
  ["star alone is any recipient", "RCPT TO=*", "to ann@example.org", true],
  ["a local part at every domain", "RCPT TO=sales@*", "to sales@example.com", true],
  ["a part of the address is not enough", "RCPT TO=ann@example.org", "to joann@example.org", false],
  // AND, OR
  [
    "different keys are and: both hold",
    "MAIL FROM=*@example.org; RCPT TO=sales@*",
    "from a@example.org; to sales@example.com",
    true,
  ],
  [
    "different keys are and: the first alone",
    "MAIL FROM=*@example.org; RCPT TO=sales@*",
    "from a@example.org; to x@example.com",
    false,
  ],
  [
    "different keys are and: the second alone",
    "MAIL FROM=*@example.org; RCPT TO=sales@*",
    "from a@example.com; to sales@x.example",
    false,
  ],
  ["the same key is or: the first", "RCPT TO=a@*; RCPT TO=b@*", "to a@example.org", true],
  ["the same key is or: the second", "RCPT TO=a@*; RCPT TO=b@*", "to b@example.org", true],
  ["the same key is or: neither", "RCPT TO=a@*; RCPT TO=b@*", "to c@example.org", false],
  [
    "the same key, apart and in other case",
    "RCPT TO=a@*; MAIL FROM=<>; rcpt to=b@*",
    "from <>; to b@example.org",
    true,
  ],
  ["or binds closer than and", "RCPT TO=a@*; RCPT TO=b@*; MAIL FROM=<>", "from x@example.org; to b@example.org", false],
  ["a semicolon at the end", "RCPT TO=a@*;", "to a@example.org", true],
  ["conditions on lines of their own", "RCPT TO=a@*;\n  RCPT TO=b@*;\n", "to b@example.org", true],
  ["two fields are two keys", "HEADER X-A=1; HEADER X-B=1", "field X-A: 1", false],
  ["two fields, both there", "HEADER X-A=1; HEADER X-B=1", "field X-A: 1; field X-B: 1", true],
  ["one field in two cases is one key", "HEADER X-A=1; HEADER x-a=2", "field X-A: 2", true],
  // CLIENT
  ["an IPv4 address", "CLIENT=192.0.2.1", "client 192.0.2.1", true],
  ["another IPv4 address", "CLIENT=192.0.2.1", "client 192.0.2.10", false],
  ["first address of a block", "CLIENT=192.0.2.0/24", "client 192.0.2.0", true],
  ["last address of a block", "CLIENT=192.0.2.0/24", "client 192.0.2.255", true],
  ["first address behind a block", "CLIENT=192.0.2.0/24", "client 192.0.3.0", false],
  ["a block given by an address inside", "CLIENT=192.0.2.77/24", "client 192.0.2.1", true],
  ["a block of one", "CLIENT=192.0.2.1/32", "client 192.0.2.1", true],
  ["a block of all IPv4 addresses", "CLIENT=0.0.0.0/0", "client 203.0.113.9", true],
  ["all IPv4 addresses hold no IPv6 one", "CLIENT=0.0.0.0/0", "client 2001:db8::1", false],
  ["an IPv4 client in its IPv6 form", "CLIENT=192.0.2.0/24", "client ::ffff:192.0.2.1", true],
  ["an IPv4 pattern in its IPv6 form", "CLIENT=::ffff:192.0.2.1", "client 192.0.2.1", true],
  ["an IPv4 block in its IPv6 form", "CLIENT=::ffff:192.0.2.0/120", "client 192.0.2.9", true],
  ["an IPv6 address, written otherwise", "CLIENT=2001:DB8:0:0::1", "client 2001:db8::1", true],
  ["an IPv6 address in brackets", "CLIENT=[IPv6:2001:db8::1]", "client 2001:db8::1", true],
  ["an IPv6 block", "CLIENT=2001:db8::/32", "client 2001:db8:ffff::1", true],
  ["outside an IPv6 block", "CLIENT=2001:db8::/32", "client 2001:db9::1", false],
  ["a link-local client with its zone", "CLIENT=fe80::/10", "client fe80::1%eth0", true],
  ["either of two blocks", "CLIENT=10.0.0.0/8; CLIENT=192.168.0.0/16", "client 192.168.3.4", true],
  ["star is any address", "CLIENT=*", "client 192.0.2.1", true],
  ["no client, as for a file in the pickup folder", "CLIENT=*", "", false],
  ["a client that is no address", "CLIENT=127.0.0.0/8", "client localhost", false],
  // USER
  ["a user", "USER=ann", "user ann", true],
  ["a user in other case", "USER=Ann", "user aNN", true],
  ["another user", "USER=ann", "user bob", false],
  ["a user of a Windows domain: a backslash outside quotes is itself", "USER=CORP\\ann", "user corp\\ann", true],
  ["users by glob", "USER=*@example.org", "user ann@example.org", true],
  ["star is any user", "USER=*", "user ann", true],
  ["star needs a user", "USER=*", "", false],
  ["dash is nobody", "USER=-", "", true],
  ["dash is not somebody", "USER=-", "user ann", false],
  ["a quoted dash is a user of that name", 'USER="-"', "user -", true],
  ["a quoted dash is not nobody", 'USER="-"', "", false],
  ["nobody, or this one", "USER=-; USER=ann", "user ann", true],
  // LISTENER
  ["a listener", "LISTENER=submission", "listener submission", true],
  ["a listener in other case", "LISTENER=Submission", "listener submission", true],
  ["another listener", "LISTENER=submission", "listener mx", false],
  ["listeners by glob", "LISTENER=mx-*", "listener mx-1", true],
  // EHLO
  ["the name given with EHLO", "EHLO=mail.example.net", "helo mail.example.net", true],
  ["names below a domain", "EHLO=*.example.net", "helo mail.example.net", true],
  ["names below a domain, in other case", "EHLO=*.EXAMPLE.net", "helo MAIL.example.NET", true],
  ["a star in the middle", "EHLO=mx*.example.net", "helo mx12.example.net", true],
  ["an address literal", "EHLO=[192.0.2.*]", "helo [192.0.2.7]", true],
  ["star is any name", "EHLO=*", "helo x", true],
  ["star needs a name", "EHLO=*", "", false],
  ["IDN pattern, ASCII name", "EHLO=*.bücher.example", "helo mail.xn--bcher-kva.example", true],
  ["ASCII pattern, IDN name", "EHLO=xn--bcher-kva.example", "helo bücher.example", true],
  // SUBJECT
  ["the whole subject", "SUBJECT=hello", "subject Hello", true],
  ["a part of the subject is not enough", "SUBJECT=hello", "subject Hello there", false],
  ["stars on both sides", "SUBJECT=*invoice*", "subject Your invoice 7", true],
  ["stars in the middle, in order", "SUBJECT=a*b*c", "subject a xx b yy c", true],
  ["stars in the middle, out of order", "SUBJECT=a*c*b*d", "subject a b c d", false],
  ["beginning and end may not overlap", "SUBJECT=aba*aba", "subject aba", false],
  ["an equals sign in the pattern", "SUBJECT=*a=b*", "subject x a=b y", true],
  ["a semicolon in quotes", 'SUBJECT="a;b"', "field Subject: a", false],
  ["a quote in the middle is itself", 'SUBJECT=say "hi" now', 'subject Say "hi" now', true],
  ["a star in quotes is still a star", 'SUBJECT="*invoice*"', "subject Your invoice 7", true],
  ["an escaped star in quotes is the character", 'SUBJECT="5 \\* hotel"', "subject 5 * hotel", true],
  ["an escaped star in quotes is nothing else", 'SUBJECT="5 \\* hotel"', "subject 5 x hotel", false],
  ["escaped quote and backslash", 'SUBJECT="a \\"b\\" \\\\c"', 'subject a "b" \\c', true],
  ["a question mark is itself", "SUBJECT=why?", "subject why?", true],
  ["a question mark is no wildcard", "SUBJECT=why?", "subject whyx", false],
  ["special characters of regular expressions", "SUBJECT=[a-z]+(.)", "subject [a-z]+(.)", true],
  ["special characters of regular expressions mean nothing", "SUBJECT=[a-z]+(.)", "subject ax", false],
  ["compared decoded", "SUBJECT=*grüße*", "subject Viele Grüße aus Köln", true],
  ["compared decoded, as encoded words", "SUBJECT=grüße", "field Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", false],
  ["case beyond ASCII does not count", "SUBJECT=ÄRGER*", "subject ärger heute", true],
  ["a final sigma is a sigma", "SUBJECT=ΟΔΟΣ*", "subject οδοσ1", true],
  ["an empty subject", 'SUBJECT=""', "subject ", true],
  ["an empty pattern is not just any subject", 'SUBJECT=""', "subject x", false],
  ["no subject field is not an empty one", 'SUBJECT=""', "header", false],
  ["star needs a subject field", "SUBJECT=*", "header", false],
  ["no header yet", "SUBJECT=*", "", false],
  ["any of two subject fields", "SUBJECT=two", "subject one; subject two", true],
  // HEADER
  ["a field's value", "HEADER X-Spam-Flag=YES", "field X-Spam-Flag: yes", true],
  ["a field's value, other name's case", "HEADER x-spam-flag=YES", "field X-Spam-FLAG: yes", true],
  ["another value", "HEADER X-Spam-Flag=YES", "field X-Spam-Flag: no", false],
  [
    "any of several fields of that name",
    "HEADER Received=*relay*",
    "field Received: a; field Received: by relay.example",
    true,
  ],
  ["the field is there", "HEADER X-Loop", "field X-Loop: 1", true],
  ["the field is there, empty", "HEADER X-Loop", "field X-Loop:", true],
  ["the field is not there", "HEADER X-Loop", "field X-Other: 1", false],
  ["star is the field with any value", "HEADER X-Loop=*", "field X-Loop:", true],
  ["a colon behind the name", "HEADER X-Loop: = 1", "field X-Loop: 1", true],
  ["the name of an inherited property is a field like others", "HEADER constructor", "header", false],
  ["no header yet", "HEADER X-Loop", "", false],
  // SIZE
  ["above", "SIZE=>10MB", "size 10000001", true],
  ["exactly at, with >", "SIZE=>10MB", "size 10000000", false],
  ["exactly at, with >=", "SIZE=>=10MB", "size 10000000", true],
  ["below, with >=", "SIZE=>=10MB", "size 9999999", false],
  ["below", "SIZE=<1KiB", "size 1023", true],
  ["exactly at, with <", "SIZE=<1KiB", "size 1024", false],
  ["exactly at, with <=", "SIZE=<=1KiB", "size 1024", true],
  ["without an equals sign", "SIZE > 1 KB", "size 1001", true],
  ["without an equals sign, >=", "SIZE >= 1000", "size 1000", true],
  ["without an equals sign, no blanks", "SIZE<1KB", "size 999", true],
  ["a fraction", "SIZE > 1.5 MiB", "size 1572865", true],
  ["a gigabyte", "SIZE > 1GB", "size 1000000001", true],
  ["a gibibyte", "SIZE > 1GiB", "size 1073741824", false],
  ["octets", "SIZE > 5 B", "size 6", true],
  ["two sizes are alternatives", "SIZE < 10; SIZE > 100", "size 500", true],
  ["no size yet", "SIZE >= 0", "", false],
  // VERB
  ["a verb", "VERB=RCPT", "verb RCPT", true],
  ["a verb in other case", "VERB=rcpt", "verb RCPT", true],
  ["another verb", "VERB=RCPT", "verb MAIL", false],
  ["verbs by glob", "VERB=X-*", "verb X-FOO", true],
  ["no verb: a message", "VERB=*", "", false],
];

describe("parseRule: test", () => {
  test.each(rows)("%s: %s · %s", (_why, rule, facts, holds) => {
    expect(parseRule(rule).test(parseFacts(facts))).toBe(holds);
  });

  test("a semicolon in a subject is met by a quoted pattern", () => {
    const header = Header.empty.add("Subject", "a;b");
    expect(parseRule('SUBJECT="a;b"').test({ ...noFacts, header })).toBe(true);
  });

  test("a quoted local part with a semicolon and an escaped quote is met", () => {
    const recipients = [parseMailbox('"a;\\"b"@example.org')];
    expect(
      parseRule('RCPT TO="a;\\"b"@example.org; MAIL FROM=<>').test({ ...noFacts, recipients, reversePath: null }),
    ).toBe(true);
  });

  const bare: readonly [why: string, rule: string, event: EventName, verb: string | null, holds: boolean][] = [
    ["a verb alone", "EHLO", "onCommand", "EHLO", true],
    ["a verb alone, another verb", "EHLO", "onCommand", "HELO", false],
    ["either of two verbs", "EHLO; HELO", "onCommand", "HELO", true],
    ["a verb of one's own", "X-FOO", "onCommand", "x-foo", true],
    ["the end of data", "_EOD", "onEndOfData", "_EOD", true],
    ["RCPT", "rcpt", "onRcptTo", "RCPT", true],
    ["outbound events have verbs too", "MAIL", "onServerResponse", "MAIL", true],
    ["verbs by glob, alone", "X-*", "onCommand", "X-BAR", true],
    ["a field alone is still a field", "HEADER X-Loop", "onHeaders", "HEADER", false],
    ["a verb and a client", "RCPT; CLIENT=192.0.2.1", "onCommand", "RCPT", false],
  ];
  test.each(bare)("%s: %s at %s", (_why, rule, event, verb, holds) => {
    expect(parseRule(rule, event).test({ ...noFacts, verb })).toBe(holds);
  });
});

describe("Rule", () => {
  test("explain tells every condition in the order written, held or not, with what it looked at", () => {
    const rule = parseRule("SUBJECT = *x* ; MAIL FROM=<>; RCPT TO=b@*; SIZE>10; CLIENT=10.0.0.1; USER=*; HEADER X-A");
    expect(
      rule.explain(parseFacts("from <>; to a@example.org; to b@example.org; subject a x b; size 5; client 10.0.0.2")),
    ).toEqual([
      { condition: "SUBJECT = *x*", held: true, value: '"a x b"' },
      { condition: "MAIL FROM=<>", held: true, value: "<>" },
      { condition: "RCPT TO=b@*", held: true, value: "a@example.org, b@example.org" },
      { condition: "SIZE>10", held: false, value: "5 octets" },
      { condition: "CLIENT=10.0.0.1", held: false, value: "10.0.0.2" },
      { condition: "USER=*", held: false, value: "(none)" },
      { condition: "HEADER X-A", held: false, value: "(none)" },
    ]);
    expect(rule.explain(noFacts).map(({ value }) => value)).toEqual([
      "(none)",
      "(none yet)",
      "(none yet)",
      "(not known yet)",
      "(none)",
      "(none)",
      "(none)",
    ]);
  });

  test("explain cuts a long value and escapes control characters", () => {
    const [report] = parseRule("EHLO=*").explain({ ...noFacts, helo: `\u001b[2J${"x".repeat(500)}` });
    expect(report!.value).toMatch(/^"\\u001b\[2Jx{190}/);
    expect(report!.value.length).toBe(201);
  });

  test("matchedRecipients gives those that meet the rule, in their order; all without a RCPT TO condition", () => {
    const recipients = ["a@example.org", "b@example.com", "c@example.org"].map(parseMailbox);
    expect(parseRule("RCPT TO=*@example.org; SUBJECT=*").matchedRecipients(recipients)).toEqual([
      recipients[0],
      recipients[2],
    ]);
    expect(parseRule("RCPT TO=b@*; RCPT TO=c@*").matchedRecipients(recipients)).toEqual([recipients[1], recipients[2]]);
    expect(parseRule("RCPT TO=x@*").matchedRecipients(recipients)).toEqual([]);
    expect(parseRule("SUBJECT=*").matchedRecipients(recipients)).toBe(recipients);
  });

  const reads: readonly [why: string, rule: string, reads: boolean][] = [
    ["a session's facts do not change", "CLIENT=10.0.0.1; USER=a; LISTENER=b; EHLO=c; VERB=d", false],
    ["the reverse-path can be edited", "CLIENT=10.0.0.1; MAIL FROM=<>", true],
    ["recipients can be edited", "RCPT TO=*", true],
    ["the subject can be edited", "SUBJECT=*", true],
    ["fields can be edited", "HEADER X-A", true],
    ["the size follows edits", "SIZE>1", true],
  ];
  test.each(reads)("readsMessage: %s", (_why, rule, expected) => {
    expect(parseRule(rule).readsMessage).toBe(expected);
  });

  const warned: readonly [why: string, rule: string, event: EventName | undefined, warnings: readonly RegExp[]][] = [
    [
      "a loose suffix",
      "RCPT TO=*@*example.org",
      undefined,
      [/matches badexample\.org too; write \*@example\.org .* \*@\*\.example\.org/],
    ],
    ["a loose suffix without local part", "MAIL FROM=*example.org", undefined, [/write \*@example\.org for/]],
    ["a loose suffix behind a local part", "MAIL FROM=ann@*example.org", undefined, [/write ann@example\.org for/]],
    ["a loose suffix for EHLO", "EHLO=*example.org", undefined, [/badexample\.org too; write example\.org for/]],
    ["the same warning once", "EHLO=*example.org; EHLO=*example.org", undefined, [/badexample\.org/]],
    ["subdomains are meant", "RCPT TO=*@*.example.org", undefined, []],
    ["any domain is meant", "RCPT TO=*", undefined, []],
    ["a local part that ends so", "RCPT TO=*info@example.org", undefined, []],
    ["a subject before the header", "SUBJECT=*", "onRcptTo", [/never holds at onRcptTo: there is no header yet/]],
    ["a recipient before RCPT", "RCPT TO=*", "onMailFrom", [/never holds at onMailFrom/]],
    ["a reverse-path before MAIL", "MAIL FROM=*", "onHelo", [/never holds at onHelo/]],
    ["a user before the greeting", "USER=*", "onConnect", [/never holds at onConnect/]],
    ["nobody before the greeting holds always", "USER=-", "onConnect", []],
    ["a size before MAIL", "SIZE>1", "onHelo", [/never holds at onHelo: there is no SIZE yet/]],
    ["the announced size behind MAIL", "SIZE>1", "onData", []],
    ["a verb where there is none", "VERB=RCPT", "onArrival", [/only protocol events/]],
    ["all of it at onArrival", "SUBJECT=*; RCPT TO=*; MAIL FROM=*; USER=*; EHLO=*; SIZE>1", "onArrival", []],
  ];
  test.each(warned)("warnings: %s", (_why, rule, event, warnings) => {
    const given = parseRule(rule, event).warnings;
    expect(given).toHaveLength(warnings.length);
    for (const [i, words] of warnings.entries()) expect(given[i]).toMatch(words);
  });
});

describe("neverHoldsAt", () => {
  test.each<[why: string, rule: string, event: EventName, words: RegExp | null]>([
    [
      "a header before there is one",
      "SUBJECT=x*",
      "onConnect",
      /^"SUBJECT=x\*" never holds at onConnect: there is no header yet$/,
    ],
    ["a recipient before RCPT", "RCPT TO=a@*; RCPT TO=b@*", "onMailFrom", /there is no RCPT TO yet/],
    ["one of several conditions", "CLIENT=192.0.2.1; HEADER X-A=1", "onData", /"HEADER X-A=1" never holds at onData/],
    ["a result before it is checked", "DMARC=fail", "onHeaders", /no result of DMARC yet/],
    ["an alternative that can hold", "USER=-; USER=ann", "onConnect", null],
    ["what is known", "CLIENT=192.0.2.1; LISTENER=mx", "onConnect", null],
    ["what is announced", "SIZE>1", "onMailFrom", null],
    ["the header when it is here", "SUBJECT=x", "onHeaders", null],
    ["all of it behind that", "SUBJECT=x; DKIM=pass; RCPT TO=*", "onRoute", null],
  ])("%s: %s at %s", (_why, rule, event, words) => {
    const given = parseRule(rule).neverHoldsAt(event);
    if (words === null) expect(given).toBeNull();
    else expect(given).toMatch(words);
  });
});
