/** Regular expressions that can take very long: found by what they are, not by trying them. */
import { growthOf } from "./regex-growth.ts";
import type { Found } from "./review-finding.ts";
import { isGlobal } from "./review-meaning.ts";
import { type AnyNode, literalTextOf, type Syntax } from "./review-syntax.ts";

export function reviewRegexes(syntax: Syntax): readonly Found[] {
  return syntax.nodes.flatMap((node): Found[] => {
    const regex = regexOf(node, syntax);
    if (!regex) return [];
    const growth = growthOf(regex.source, regex.flags);
    if (growth === null) return [];
    const shown = regex.source.length > 60 ? `${regex.source.slice(0, 60)}…` : regex.source;
    return [
      {
        code: "slow-regex",
        message:
          growth.degree === Number.POSITIVE_INFINITY
            ? `/${shown}/ can take for ever: each further character may double its time (around ${growth.around}).`
            : `/${shown}/ can take very long: its time grows with the length of the text to the power of ${growth.degree} (around ${growth.around}).`,
        advice:
          "Let only one way through the text fit: a repetition in a repetition, or two beside each other, must not take the same characters.",
        node,
      },
    ];
  });
}

function regexOf(node: AnyNode, syntax: Syntax): { readonly source: string; readonly flags: string } | undefined {
  if (node.type === "Literal" && node.regex) return { source: node.regex.pattern, flags: node.regex.flags };
  if (node.type !== "NewExpression" && node.type !== "CallExpression") return undefined;
  if (!isGlobal(node.callee, "RegExp", syntax)) return undefined;
  const source = literalTextOf(node.arguments[0]);
  const flags = node.arguments.length > 1 ? literalTextOf(node.arguments[1]) : "";
  return source === undefined || flags === undefined ? undefined : { source, flags };
}
