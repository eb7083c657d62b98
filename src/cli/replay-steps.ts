/** A step's result in words that can be compared by people: what it decided, and what became of fields, recipients and parts, each under its name. */
import type { MailInput } from "../../sandbox/protocol.ts";
import type { PlainResult } from "../scripting/records.ts";

type Given = Omit<PlainResult, "version">;

/** What is not there is left out. */
export function describeStep(
  { bindingId: _binding, effects, log, fault, ...result }: Given,
  mail: MailInput | null,
): unknown {
  const { fields, splices, submissions, ...others } = effects as {
    readonly fields?: readonly (number | readonly [name: string, value: string])[];
    readonly splices?: readonly { readonly start: number; readonly end: number }[];
    readonly submissions?: readonly {
      readonly to: readonly string[];
      readonly fields: readonly (readonly [string, string])[];
    }[];
  };
  return {
    ...result,
    ...others,
    ...(fields && { fields: describeFields(fields, mail) }),
    ...(splices && { body: splices.map(({ start, end }) => `octets ${start} to ${end}`) }),
    ...(submissions && {
      submissions: submissions.map((one) => ({
        to: one.to,
        fields: one.fields.map(([name, value]) => `${name}: ${value}`),
      })),
    }),
    log: log.map(({ level, text }) => `${level}: ${text}`),
    fault: fault && { code: fault.code, message: fault.message, at: fault.at },
  };
}

/** `+ X-External: yes`, `- Subject: Lunch?`: those that came, in their order, and those that went. */
function describeFields(
  fields: readonly (number | readonly [string, string])[],
  mail: MailInput | null,
): readonly string[] {
  const kept = new Set(fields.filter((field) => typeof field === "number"));
  const came = fields.flatMap((field) => (typeof field === "number" ? [] : [`+ ${field[0]}: ${field[1]}`]));
  const went = (mail?.fields ?? []).flatMap(([name, value], place) => (kept.has(place) ? [] : [`- ${name}: ${value}`]));
  return [...went, ...came];
}
