/** Refuses headers that are too large to be honest, or that readers would understand differently: two From fields, or none. RFC 5322 §3.6. */
import type { Sink } from "../events/sink.ts";
import { proceed, refuse, type Verdict } from "../events/verdict.ts";
import type { Header } from "../mail/header.ts";
import { choices, count, flag, size } from "../platform/value.ts";
import { property, type ValuesOf } from "./property.ts";

/** Fields of which a message has one at most. RFC 5322 §3.6. */
const singleFields = [
  "Date",
  "From",
  "Sender",
  "Reply-To",
  "To",
  "Cc",
  "Bcc",
  "Message-ID",
  "In-Reply-To",
  "References",
  "Subject",
] as const;

export const headerLimitProperties = {
  fields_max: property(count({ min: 1, max: 100_000 }), 1_000, "Fields of a header."),
  size_max: property(size({ min: 1_024, max: 2 ** 30 }), 256 * 1_024, "Octets of a header, all its fields together."),
  field_size_max: property(
    size({ min: 256, max: 2 ** 30 }),
    64 * 1_024,
    "Octets of one field, its name and line ends included.",
  ),
  received_max: property(count({ min: 1, max: 100_000 }), 100, "Received fields: hosts a message has passed through."),
  single: property(flag, true, "Refuses a second From, Date, Subject or other field that may stand in a message once."),
  required: property(
    // An empty list is the default: many a program that sends mail leaves one of them out.
    choices("field", [...singleFields]),
    [],
    "Fields without which a message is refused, such as `From` and `Date`.",
  ),
};

export function headerLimit(values: ValuesOf<typeof headerLimitProperties>): Sink {
  return {
    name: "header-limit",
    onHeaders({ session, transaction, header }, { log }) {
      const wrong = objectionTo(header, values);
      if (wrong === null) return proceed;
      log.info("header-limit.refused", { session: session.id, message: transaction.id, reason: wrong.reason });
      return wrong.verdict;
    },
  };
}

interface Objection {
  readonly verdict: Verdict;
  /** For the log. */
  readonly reason: string;
}

function objectionTo(
  header: Header,
  {
    fields_max: fieldsMax,
    size_max: sizeOctetsMax,
    field_size_max: fieldOctetsMax,
    received_max: receivedMax,
    single,
    required,
  }: ValuesOf<typeof headerLimitProperties>,
): Objection | null {
  // RFC 3463 §3.7: X.6.0 is any other problem of the message's content.
  const malformed = (text: string): Objection => ({
    verdict: refuse(text, { code: 550, status: "5.6.0" }),
    reason: text,
  });
  const { fields } = header;
  const tooLarge = (reason: string): Objection => ({
    verdict: refuse("The header of the message is too large", { code: 552, status: "5.3.4" }),
    reason,
  });
  if (fields.length > fieldsMax) return tooLarge(`${fields.length} fields`);
  let sizeOctets = 0;
  for (const { name, octets } of fields) {
    if (octets.length > fieldOctetsMax) return tooLarge(`a field ${name.slice(0, 80)} of ${octets.length} octets`);
    sizeOctets += octets.length;
  }
  if (sizeOctets > sizeOctetsMax) return tooLarge(`${sizeOctets} octets`);
  const hops = header.count("Received");
  if (hops > receivedMax)
    return {
      verdict: refuse("Too many hops: routing loop suspected", { code: 554, status: "5.4.6" }),
      reason: `${hops} Received fields`,
    };
  const twice = single ? singleFields.find((name) => header.count(name) > 1) : undefined;
  if (twice !== undefined) return malformed(`The message has more than one ${twice} field`);
  const missing = required.find((name) => !header.has(name));
  return missing === undefined ? null : malformed(`The message has no ${missing} field`);
}
