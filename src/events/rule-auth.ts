/**
 * The keys SPF, DKIM, DMARC and ARC of a rule: `DMARC = fail`, `DKIM = pass example.org`. A pattern is compared with the result alone and with the result
 * and what it is about, so that both may be written.
 */
import { type AuthFacts, arcResults, dkimResults, dmarcResults, spfResults } from "../mail/auth-facts.ts";
import { compileGlob, type Glob, type PatternText } from "./glob.ts";
import { PatternError } from "./rule-pattern.ts";

const results = { SPF: spfResults, DKIM: dkimResults, DMARC: dmarcResults, ARC: arcResults } as const;

export type AuthKey = keyof typeof results;

/** What a condition is compared with: `fail`, `fail reject`. Of several signatures each; without one, `none`. */
export function readResults(key: AuthKey, { spf, dkim, dmarc, arc }: AuthFacts): readonly string[] {
  switch (key) {
    case "SPF":
      return [spf.result, `${spf.result} ${spf.domain}`];
    case "DKIM":
      return dkim.length === 0 ? ["none"] : dkim.flatMap(({ result, domain }) => [result, `${result} ${domain}`]);
    case "DMARC":
      return dmarc.policy === null ? [dmarc.result] : [dmarc.result, `${dmarc.result} ${dmarc.policy}`];
    case "ARC":
      return [arc.result, ...arc.sealers.map((sealer) => `${arc.result} ${sealer}`)];
  }
}

/** A glob whose first word is a result there is, or has a `*`. @throws {PatternError} */
export function compileResultGlob(key: AuthKey, pattern: PatternText): Glob {
  const [first = ""] = pattern.text.trim().split(/\s/);
  const known: readonly string[] = results[key];
  if (!first.includes("*") && !known.includes(first.toLowerCase()))
    throw new PatternError(
      `there is no result ${JSON.stringify(first.slice(0, 40))} of ${key}; expected one of ${known.join(", ")}`,
    );
  return compileGlob(pattern);
}
