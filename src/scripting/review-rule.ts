/** Rules that hold always or never, and patterns that cover more than they seem to. */
import type { ScriptExports } from "../../sandbox/protocol.ts";
import { isEventName } from "../events/event-table.ts";
import { parseRule } from "../events/rule.ts";
import { type ConditionText, splitRule } from "../events/rule-syntax.ts";
import type { Found } from "./review-finding.ts";
import { exportsOf } from "./review-meaning.ts";
import type { Syntax } from "./review-syntax.ts";

/** `exports` have been checked: the rule can be read. */
export function reviewRule(syntax: Syntax, { rule, handlers }: ScriptExports): readonly Found[] {
  const exported = exportsOf(syntax).get("rule");
  if (rule === undefined || !exported) return [];
  const node = exported.init ?? exported.declaration;
  const found: Found[] = parseRule(rule).warnings.map((message) => ({
    code: "rule-trap",
    message: `${message.replace(/; write .*/, "")}.`,
    advice: `${(/; (write .*)/.exec(message)?.[1] ?? "look at docs/rules.md").replace(/^./, (letter) => letter.toUpperCase())}.`,
    node,
  }));
  if (holdsAlways(splitRule(rule, false))) {
    found.push({
      code: "rule-all",
      message: "The rule holds for every message.",
      advice: "Leave it out: a script without a rule is asked about all of them.",
      node,
    });
  }
  for (const event of handlers.filter(isEventName)) {
    const known = parseRule(rule).warnings;
    const never = parseRule(rule, event).warnings.filter((warning) => !known.includes(warning));
    for (const message of never)
      found.push({
        code: "rule-never",
        message: `${message}.`,
        advice: `Take the condition out, or put ${event} into a script of its own.`,
        node,
      });
  }
  return found;
}

/** Every key is there for every message, and one of its patterns covers all. */
function holdsAlways(conditions: readonly ConditionText[]): boolean {
  return [...Map.groupBy(conditions, ({ key }) => key).values()].every((group) => group.some(coversAll));
}

function coversAll({ key, pattern }: ConditionText): boolean {
  const text = pattern?.text.replaceAll(/\s+/g, "") ?? "";
  switch (key) {
    case "MAIL FROM":
    case "CLIENT":
    case "LISTENER":
    case "EHLO":
      return /^\*+$/.test(text);
    case "RCPT TO":
      return /^\*+(?:@\*+)?$/.test(text);
    case "SIZE":
      return /^>=0[A-Za-z]*$/.test(text);
    default:
      return false;
  }
}
