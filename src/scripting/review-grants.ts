/** Grants that a script asks for and does not use, and those it uses without asking. */
import type { Grants } from "../../sandbox/protocol.ts";
import { coversOrigin } from "./origins.ts";
import type { Found } from "./review-finding.ts";
import { exportsOf, isGlobal, type Kind, type Meaning } from "./review-meaning.ts";
import { type AnyNode, literalTextOf, propertyNameOf, type Syntax } from "./review-syntax.ts";

type GrantName = keyof Grants;
const grantNames: readonly GrantName[] = ["http", "dns", "kv", "submit", "secrets"];

export function reviewGrants(syntax: Syntax, meaning: Meaning, grants: Grants): readonly Found[] {
  const found: Found[] = [];
  const used = new Set<GrantName>();
  let isHandedOn = false;
  const secretNames = new Set<string>();
  let secretsUnknown = false;
  for (const node of syntax.nodes) {
    // A name that is only taken out of the context uses nothing.
    const kind = node.type === "Identifier" && !isUse(node, syntax) ? undefined : meaning.kindOf(node);
    if (isGrant(kind)) used.add(kind);
    if (kind === "context" && node.type === "Identifier" && !isTakenApart(node, syntax)) isHandedOn = true;
    if (kind === "secrets") {
      const name = secretRead(node, syntax);
      if (name === undefined) secretsUnknown = true;
      else secretNames.add(name);
    }
    if (node.type !== "CallExpression") continue;
    const missing = missingFor(node, syntax, meaning, grants);
    if (missing) {
      used.add(missing.grant);
      found.push(missing.found);
    } else if (isGlobal(node.callee, "fetch", syntax)) used.add("http");
    else if (meaning.submissionOf(node)) used.add("submit");
  }
  const declaration = exportsOf(syntax).get("grants")?.declaration;
  if (!declaration || isHandedOn) return found;
  const node: AnyNode = declaration;
  for (const name of grantNames) {
    // forward() needs it for recipients elsewhere only, and mail itself may be handed on.
    if (grants[name] === undefined || used.has(name) || (name === "submit" && mentionsForward(syntax))) continue;
    found.push({
      code: "grant-unused",
      message: `The grant ${name} is asked for, and nothing uses it.`,
      advice: "Leave it out of grants: what is not granted cannot be misused.",
      node,
    });
  }
  const unread =
    used.has("secrets") && !secretsUnknown ? (grants.secrets ?? []).filter((name) => !secretNames.has(name)) : [];
  for (const name of unread)
    found.push({
      code: "grant-unused",
      message: `The secret ${JSON.stringify(name)} is asked for, and nothing reads it.`,
      advice: "Leave it out of grants.secrets.",
      node,
    });
  return found;
}

/** What a call needs that is not asked for. */
function missingFor(
  node: AnyNode,
  syntax: Syntax,
  meaning: Meaning,
  grants: Grants,
): { readonly grant: GrantName; readonly found: Found } | undefined {
  if (node.type !== "CallExpression") return undefined;
  const { callee } = node;
  const missing = (grant: GrantName, message: string, example: string) => ({
    grant,
    found: { code: "grant-missing", message, advice: `Add it: export const grants = { ${example} }`, node } as const,
  });
  const verb = meaning.submissionOf(node);
  if (verb && !grants.submit)
    return missing("submit", `${verb} needs the grant submit, which the script does not ask for.`, "submit: true");
  const isFetch = isGlobal(callee, "fetch", syntax);
  const kind = callee.type === "MemberExpression" ? meaning.kindOf(callee.object) : undefined;
  const method = propertyNameOf(callee);
  if (isFetch || kind === "http") {
    const url = node.arguments[isFetch || method !== "request" ? 0 : 1];
    const origin = originOf(url);
    if (!grants.http)
      return missing(
        "http",
        `${isFetch ? "fetch" : `http.${method}`} needs the grant http, which the script does not ask for.`,
        `http: [${JSON.stringify(origin ?? "https://host")}]`,
      );
    if (origin !== undefined && !grants.http.some((granted) => coversOrigin(granted, origin)))
      return missing(
        "http",
        `${origin} is not among the origins the script asks for.`,
        `http: [${JSON.stringify(origin)}, …]`,
      );
  }
  if (kind === "dns" && !grants.dns)
    return missing("dns", `dns.${method} needs the grant dns, which the script does not ask for.`, "dns: true");
  if (kind === "kv" && !grants.kv)
    return missing("kv", `kv.${method} needs the grant kv, which the script does not ask for.`, "kv: true");
  if (kind === "secrets") {
    const name = literalTextOf(node.arguments[0]);
    if (!grants.secrets)
      return missing(
        "secrets",
        "secrets.get needs the grant secrets, which the script does not ask for.",
        `secrets: [${JSON.stringify(name ?? "name")}]`,
      );
    if (name !== undefined && !grants.secrets.includes(name))
      return missing(
        "secrets",
        `The secret ${JSON.stringify(name)} is not among those the script asks for.`,
        `secrets: [${JSON.stringify(name)}, …]`,
      );
  }
  return undefined;
}

/** The origin of a URL that is written out, or begins with one that is. */
function originOf(node: AnyNode | undefined): string | undefined {
  const isOpen = node?.type === "TemplateLiteral" && node.expressions.length > 0;
  const text = isOpen ? node.quasis[0]?.value.cooked : literalTextOf(node);
  // Of a text that goes on, the host has to be at its end.
  const [, origin] = (isOpen ? /^(https?:\/\/[^/?#\s]+)[/?#]/i : /^(https?:\/\/[^/?#\s]+)/i).exec(text ?? "") ?? [];
  return origin?.toLowerCase();
}

function isGrant(kind: Kind | undefined): kind is "http" | "dns" | "kv" | "secrets" {
  return kind === "http" || kind === "dns" || kind === "kv" || kind === "secrets";
}

/** Whether one of its members is named, or it is handed to a function of the script: what is done with it is seen there. */
function isTakenApart(node: AnyNode, syntax: Syntax): boolean {
  const parent = syntax.parentOf(node);
  if (parent?.type === "MemberExpression") return parent.object === node && propertyNameOf(parent) !== undefined;
  if (parent?.type === "VariableDeclarator") return parent.init === node;
  if (parent?.type === "CallExpression" && parent.callee.type === "Identifier") {
    const called = syntax.variableOf(parent.callee)?.init;
    return (
      called?.type === "FunctionDeclaration" ||
      called?.type === "FunctionExpression" ||
      called?.type === "ArrowFunctionExpression"
    );
  }
  // A parameter.
  return (
    parent?.type === "FunctionDeclaration" ||
    parent?.type === "FunctionExpression" ||
    parent?.type === "ArrowFunctionExpression"
  );
}

/** The name that `secrets.get("name")` reads, where `node` is its `secrets`. */
function secretRead(node: AnyNode, syntax: Syntax): string | undefined {
  const member = syntax.parentOf(node);
  const call = member && syntax.parentOf(member);
  if (
    member?.type !== "MemberExpression" ||
    member.object !== node ||
    call?.type !== "CallExpression" ||
    call.callee !== member
  )
    return undefined;
  return literalTextOf(call.arguments[0]);
}

function isUse(node: AnyNode, syntax: Syntax): boolean {
  return node.type === "Identifier" && syntax.variableOf(node)?.uses.includes(node) === true;
}

function mentionsForward(syntax: Syntax): boolean {
  return syntax.nodes.some(
    (node) => propertyNameOf(node) === "forward" || (node.type === "Identifier" && node.name === "forward"),
  );
}
