/** What the child answers a script about field values: words decoded, addresses taken apart. Bounded in length, and never throws. */
import addressparser from "nodemailer/lib/addressparser";
import { decodeWords } from "./content-field.ts";

/** Characters of a value that are looked at; what is behind them is left as it is. */
const valueLengthMax = 131_072;
const addressesMax = 1_000;

/** The text of a value with encoded words in it. RFC 2047. */
export function answerWords(value: string): string {
  return decodeWords(value.slice(0, valueLengthMax)) + value.slice(valueLengthMax);
}

/** JSON of `[name, address]` for every mailbox in the value, groups taken apart. RFC 5322 §3.4. */
export function answerAddresses(value: string): string {
  const found: [string, string][] = [];
  for (const { name, address } of addressparser(value.slice(0, valueLengthMax), { flatten: true })) {
    if (!address || found.length === addressesMax) continue;
    found.push([decodeWords(name ?? ""), address]);
  }
  return JSON.stringify(found);
}
