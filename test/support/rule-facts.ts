/** Facts for rules in one line, as docs/rules.md and the tests write them: `from ann@partner.example; to bob@example.org; subject Hello`. */
import type { RuleFacts } from "../../src/events/rule.ts";
import type { AuthFacts } from "../../src/mail/auth-facts.ts";
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
 * verb, `spf pass example.org`, `dkim pass example.org` (again for each signature), `dmarc fail reject`, `arc pass example.org`. An empty text is `noFacts`; `header` alone is a header without fields.
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
    case "spf":
    case "dkim":
    case "dmarc":
    case "arc":
      return { auth: withResult(facts.auth ?? nothingPassed, word, value) };
    case "size":
      return { sizeOctets: Number(value) };
    default:
      throw new Error(`no such fact: ${word}`);
  }
}

/** Facts of a message that was checked and has nothing to show. */
export const nothingPassed: AuthFacts = {
  spf: { result: "none", domain: "", identity: "mailfrom" },
  dkim: [],
  dmarc: { result: "none", domain: "", policy: null, alignedBy: [], reason: "" },
  arc: { result: "none", sealers: [] },
  iprev: { result: "permerror", host: null },
};

function withResult(auth: AuthFacts, word: "spf" | "dkim" | "dmarc" | "arc", value: string): AuthFacts {
  // Written in a test: the words are those there are.
  const [result, about = ""] = value.split(" ") as [never, string?];
  const signature = { selector: "s1", algorithm: "rsa-sha256", signature: "abcdefgh", aligned: true, reason: "" };
  switch (word) {
    case "spf":
      return { ...auth, spf: { ...auth.spf, result, domain: about } };
    case "dkim":
      return { ...auth, dkim: [...auth.dkim, { ...signature, result, domain: about }] };
    case "dmarc":
      return { ...auth, dmarc: { ...auth.dmarc, result, policy: (about || null) as AuthFacts["dmarc"]["policy"] } };
    case "arc":
      return { ...auth, arc: { result, sealers: about === "" ? [] : [about] } };
  }
}
