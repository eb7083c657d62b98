import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventName } from "../../../src/events/event.ts";
import { parseRule } from "../../../src/events/rule.ts";
import { ruleConditionsMax, ruleOctetsMax } from "../../../src/events/rule-syntax.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { faultOf } from "../../support/fault-of.ts";
import { noFacts, parseFacts } from "../../support/rule-facts.ts";

describe("parseRule: syntax", () => {
  const broken: readonly [why: string, rule: string, column: number, words: RegExp, event?: EventName][] = [
    ["nothing", "", 1, /empty/],
    ["only blanks", "  \n ", 1, /empty/],
    ["only a semicolon", ";", 1, /condition before ";"/],
    ["two semicolons", "SIZE>1;;SIZE<2", 8, /condition before ";"/],
    ["no key", "=x", 1, /key before "="/],
    ["no pattern", "SUBJECT=", 9, /pattern behind "="/],
    ["no pattern before the next", "SUBJECT= ; USER=a", 10, /pattern behind "="/],
    ["no equals sign", "SUBJECT hello", 1, /no key/],
    ["a key alone", "SUBJECT", 1, /"=" and a pattern behind SUBJECT/],
    ["a verb alone where there are none", "EHLO", 1, /"=" and a pattern/, "onArrival"],
    ["a verb alone, unknown, where there are none", "X-FOO", 1, /did you mean HEADER X-FOO/, "onArrival"],
    ["two words alone at a protocol event", "MAIL FROM", 1, /"=" and a pattern/, "onCommand"],
    ["a key nearly right", "SUBJCT=x", 1, /"SUBJCT"; did you mean SUBJECT\?/],
    ["a key nearly right, in second place", "SIZE>1; LISTNER=x", 9, /did you mean LISTENER\?/],
    ["RCPT without TO", "RCPT=x@y.example", 1, /did you mean RCPT TO\?/],
    ["TO", "TO=x@y.example", 1, /did you mean RCPT TO\?/],
    ["FROM", "FROM=x@y.example", 1, /did you mean MAIL FROM\?/],
    ["HELO", "HELO=x", 1, /did you mean EHLO\?/],
    ["IP", "ip=192.0.2.1", 1, /did you mean CLIENT\?/],
    ["a field as a key", "X-Spam=1", 1, /did you mean HEADER X-SPAM\?/],
    ["a key like nothing", "QUUXBAZ=1", 1, /expected one of EHLO, .*HEADER <name>, SIZE, .*DMARC, ARC, VERB/],
    ["not equal", "USER != ann", 1, /no "!="/],
    ["HEADER without a name", "HEADER = x", 1, /name of one field/],
    ["HEADER with two names", "HEADER X-A X-B = x", 1, /name of one field/],
    ["HEADER with no name of a field", "HEADER Gr\u00fcn = x", 1, /name of one field/],
    ["a mailbox without @", "RCPT TO=sales", 9, /write sales@\* for that local part/],
    ["a mailbox without @, which could be a domain", "RCPT TO=example.org", 9, /write \*@example\.org for everybody/],
    ["a mailbox without @, star at the end", "RCPT TO=sales*", 9, /write sales\*@\*/],
    ["a star inside a local part", "RCPT TO=a*b@example.org", 10, /beginning or its end/],
    ["a star inside a domain", "RCPT TO=a@ex*.org", 13, /domain stands at its beginning/],
    ["a star at the end of a domain", "RCPT TO=a@example.*", 19, /domain stands at its beginning/],
    ["no domain", "RCPT TO=a@", 11, /domain behind "@"/],
    ["a domain that is none", "RCPT TO=a@-x-", 11, /expected a domain/],
    ["a suffix that is none", "RCPT TO=a@*..org", 12, /domain behind "\*"/],
    ["two @", "RCPT TO=a@b@c", 11, /expected a domain/],
    ["a blank in a local part", "RCPT TO=a b@example.org", 9, /double quotes/],
    ["an empty quoted local part", 'RCPT TO=""@example.org', 9, /between the quotes/],
    ["an empty quoted pattern for a mailbox", 'RCPT TO=""', 9, /expected an "@"/],
    ["the null reverse-path as a recipient", "RCPT TO=<>", 9, /never <>/],
    ["a quote never closed", 'SUBJECT="abc; USER=x', 9, /never closed/],
    ["text behind a quote", 'SUBJECT="abc"d', 14, /behind the closing quote/],
    ["a name as a client", "CLIENT=localhost", 8, /IP address/],
    ["a star in a client", "CLIENT=10.0.*", 8, /no "\*"/],
    ["too many bits, IPv4", "CLIENT=10.0.0.0/33", 17, /0 to 32/],
    ["too many bits, IPv6", "CLIENT=::/129", 11, /0 to 128/],
    ["no bits", "CLIENT=10.0.0.0/", 17, /0 to 32/],
    ["too few bits for an IPv4 block in IPv6 form", "CLIENT=::ffff:10.0.0.0/95", 24, /0 to 32/],
    ["a netmask", "CLIENT=10.0.0.0/255.0.0.0", 17, /0 to 32/],
    ["a client with a zone", "CLIENT=fe80::1%eth0", 8, /IP address/],
    ["a size without comparison", "SIZE=10MB", 6, /comparison/],
    ["a size without number", "SIZE>MB", 5, /comparison/],
    ["a size below zero", "SIZE>-1", 5, /comparison/],
    ["a size in an unknown unit", "SIZE>10XB", 8, /no unit XB/],
    ["a control character", "SUBJECT=a\u0007b", 10, /control character/],
    ["NUL", "\u0000", 1, /control character/],
    ["a line end without semicolon", "SIZE>1\nUSER=a", 7, /";" before the next line/],
    ["a verb that is none", "EH LO", 1, /no key/, "onCommand"],
    ["a verb with odd characters", "EH.LO", 1, /no verb/, "onCommand"],
  ];
  test.each(broken)("%s: %j is refused at column %i", (_why, rule, column, words, event) => {
    const fault = faultOf(() => parseRule(rule, event));
    expect(fault.code).toBe("rule.syntax");
    expect(fault.message).toMatch(words);
    expect(fault.facts.column).toBe(column);
    expect(fault.message).toContain(`at column ${column}: `);
  });

  test("length: at the limit it is read, above it is refused", () => {
    const filled = (octets: number) => `SUBJECT=${"x".repeat(octets - 8)}`;
    expect(parseRule(filled(ruleOctetsMax)).text).toHaveLength(ruleOctetsMax);
    expect(faultOf(() => parseRule(filled(ruleOctetsMax + 1))).message).toContain("longer than 4096 octets");
    expect(faultOf(() => parseRule(`SUBJECT=${"ü".repeat(2045)}`)).message).toContain("longer than 4096 octets");
  });

  test("conditions: at the limit they are read, above they are refused", () => {
    const many = (count: number) => "USER=a;".repeat(count);
    expect(parseRule(many(ruleConditionsMax)).explain(noFacts)).toHaveLength(ruleConditionsMax);
    expect(faultOf(() => parseRule(many(ruleConditionsMax + 1))).message).toContain("more than 100 conditions");
  });

  test("any text is a rule or a Fault rule.syntax, and a rule that was read can be asked", () => {
    const facts = parseFacts(
      "from ann@example.org; to bob@example.org; client 192.0.2.1; helo x; subject Hello; size 5; user ann; verb RCPT",
    );
    const piece = fc.oneof(
      fc.constantFrom(
        "MAIL FROM",
        "RCPT TO",
        "SIZE",
        "HEADER X",
        "CLIENT",
        "SUBJECT",
        "USER",
        "=",
        ";",
        "*",
        "@",
        '"',
        "\\",
        ">",
        "<",
        "<>",
        ".",
        "/",
        "%",
        "ü",
        "\u0130",
        "\ud800",
        "::1",
        "10.0.0.0",
        "a",
        " ",
        "\n",
      ),
      fc.string({ maxLength: 4, unit: "binary" }),
    );
    const texts = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(texts, fc.constantFrom<EventName | undefined>(undefined, "onArrival", "onCommand"), (text, event) => {
        try {
          const rule = parseRule(text, event);
          const asked = rule.test(facts);
          expect(rule.explain(facts).length).toBeGreaterThan(0);
          if (asked) expect(rule.explain(facts).some(({ held }) => held)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(Fault);
          expect((error as Fault).code).toBe("rule.syntax");
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("docs/rules.md", () => {
  const page = readFileSync(new URL("../../../docs/rules.md", import.meta.url), "utf8");
  const examples = [...page.matchAll(/^\| `([^`]+)` \| `([^`]*)` \| (yes|no) \|/gm)].map(
    (match) => [match[1]!, match[2]!, match[3]!] as const,
  );

  test("has its table of examples", () => {
    expect(examples.length).toBeGreaterThan(25);
  });
  test.each(examples)("%s · %s: %s", (rule, facts, holds) => {
    expect(parseRule(rule, facts.startsWith("verb ") ? "onCommand" : undefined).test(parseFacts(facts))).toBe(
      holds === "yes",
    );
  });

  const mistakes = [...page.matchAll(/^\| `([^`]+)` \| ([^|]+) \|$/gm)].map(
    (match) => [match[1]!, match[2]!.trim()] as const,
  );
  test("has its table of mistakes", () => {
    expect(mistakes.length).toBeGreaterThan(4);
  });
  test.each(mistakes)("%s is refused with the words the page gives", (rule, words) => {
    expect(faultOf(() => parseRule(rule, "onArrival")).message).toContain(words.replaceAll("\\*", "*"));
  });
});
