/** What MTA-STS writes down: the record in DNS, the policy file, and which hosts a policy means. RFC 8461 §3 and §4.1. Pure. */
import { normalizeDomain } from "../mail/mailbox.ts";

export interface StsPolicy {
  /** `testing` changes nothing but what is counted. RFC 8461 §5. */
  readonly mode: "enforce" | "testing" | "none";
  /** Names of MX hosts in lower case; `*.` stands for one label. */
  readonly mx: readonly string[];
  readonly maxAgeSeconds: number;
}

/** RFC 8461 §3.2: about a year. */
const maxAgeSecondsMax = 31_557_600;
/** Patterns of one policy, and characters of them all (stricter: the RFC knows no limit). Those of all domains are kept in one file, which has to be read back. */
const patternsMax = 100;
export const patternsLengthMax = 8_000;

/** The policy's id, or null where there is no record that holds: none, or several. RFC 8461 §3.1. */
export function parseStsRecords(values: readonly string[]): string | null {
  const records = values.filter((value) => /^v=STSv1[ \t]*;/.test(value));
  return records.length === 1 ? parseStsRecord(records[0]!) : null;
}

function parseStsRecord(record: string): string | null {
  let id: string | null = null;
  const fields = record.split(";").slice(1);
  // (lenient: white space of any kind; an expression for blanks alone would take its time where somebody writes very many.)
  for (const field of fields.map((part) => part.trim())) {
    // Between two delimiters, or behind the last (lenient: the RFC allows only the latter).
    if (field === "") continue;
    const [, name, value = ""] = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)$/.exec(field) ?? [];
    if (name === undefined) return null;
    if (name !== "id" || id !== null) continue;
    if (!/^[A-Za-z0-9]{1,32}$/.test(value)) return null;
    id = value;
  }
  return id;
}

/**
 * Reads a policy file. Of a field that is there twice, beside `mx`, the first counts; unknown fields and lines that are no field are passed over (lenient:
 * the rest of the policy still protects). RFC 8461 §3.2.
 */
export function parseStsPolicy(text: string): StsPolicy | { readonly invalid: string } {
  const fields = new Map<string, string>();
  const mx = new Set<string>();
  for (const line of text.split(/\r?\n/)) {
    const name = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):/.exec(line)?.[1];
    const value = line.slice(line.indexOf(":") + 1).trim();
    if (name === "mx") {
      const pattern = parsePattern(value);
      if (pattern === null)
        return { invalid: `mx: expected a host name or *.domain, not ${JSON.stringify(value.slice(0, 100))}` };
      mx.add(pattern);
    } else if (name !== undefined && !fields.has(name)) fields.set(name, value);
  }
  const mode = fields.get("mode");
  const maxAge = fields.get("max_age") ?? "";
  if (fields.get("version") !== "STSv1") return { invalid: "version: expected STSv1" };
  if (mode !== "enforce" && mode !== "testing" && mode !== "none")
    return { invalid: "mode: expected enforce, testing or none" };
  if (!/^[0-9]{1,10}$/.test(maxAge)) return { invalid: "max_age: expected seconds" };
  if (mx.size === 0 && mode !== "none") return { invalid: "mx: expected one" };
  if (mx.size > patternsMax) return { invalid: `mx: expected ${patternsMax} at most` };
  if ([...mx].join("").length > patternsLengthMax)
    return { invalid: `mx: expected ${patternsLengthMax} characters at most` };
  // (lenient: a longer time is cut to the longest there is, which protects more than no policy)
  return { mode, mx: [...mx], maxAgeSeconds: Math.min(Number(maxAge), maxAgeSecondsMax) };
}

/** As `parseStsPolicy` reads it. */
export function formatStsPolicy({ mode, mx, maxAgeSeconds }: StsPolicy): string {
  return [
    "version: STSv1",
    `mode: ${mode}`,
    ...mx.map((pattern) => `mx: ${pattern}`),
    `max_age: ${maxAgeSeconds}`,
    "",
  ].join("\n");
}

/** Whether mail may go to this host. RFC 8461 §4.1, with the wildcards of RFC 6125 §6.4.3: `*` is the whole first label and no more. */
export function allowsMx({ mx }: StsPolicy, host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, "");
  const dot = name.indexOf(".");
  return mx.includes(name) || (dot > 0 && mx.includes(`*${name.slice(dot)}`));
}

function parsePattern(text: string): string | null {
  const wildcard = text.startsWith("*.");
  const domain = normalizeDomain((wildcard ? text.slice(2) : text).replace(/\.$/, ""));
  if (domain === undefined || domain.startsWith("[")) return null;
  return wildcard ? `*.${domain}` : domain;
}
