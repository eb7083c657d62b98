/** Facts for rules in one line, as docs/rules.md and the tests write them: `from ann@partner.example; to bob@example.org; subject Hello`. */
import type { RuleFacts } from "../../src/events/rule.ts";
import { Header } from "../../src/mail/header.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import { parseReversePath } from "../../src/mail/path.ts";

/** Nothing known: a session that has just begun, from nowhere. */
export const noFacts: RuleFacts = {
  client: null,
  helo: "",
  user: null,
  listener: "mx",
  reversePath: undefined,
  recipients: [],
  header: null,
  sizeOctets: null,
  verb: null,
};

/**
 * Reads `word value; word value`: from, to (again for each recipient), client, helo, user, listener, subject, field `Name: value`, size in octets,
 * verb. An empty text is `noFacts`; `header` alone is a header without fields.
 */
export function parseFacts(text: string): RuleFacts {
  let facts = noFacts;
  for (const piece of text.split(/;\s*/).filter((one) => one !== "")) {
    const [, word, value] = /^(\S+) ?(.*)$/su.exec(piece)!;
    facts = { ...facts, ...readFact(word!, value!, facts) };
  }
  return facts;
}

function readFact(word: string, value: string, facts: RuleFacts): Partial<RuleFacts> {
  const header = facts.header ?? Header.empty;
  switch (word) {
    case "from":
      return { reversePath: parseReversePath(value) };
    case "to":
      return { recipients: [...facts.recipients, parseMailbox(value)] };
    case "client":
    case "helo":
    case "user":
    case "listener":
    case "verb":
      return { [word]: value };
    case "subject":
      return { header: header.add("Subject", value) };
    case "field":
      return { header: header.add(value.slice(0, value.indexOf(":")), value.slice(value.indexOf(":") + 1).trim()) };
    case "header":
      return { header };
    case "size":
      return { sizeOctets: Number(value) };
    default:
      throw new Error(`no such fact: ${word}`);
  }
}
