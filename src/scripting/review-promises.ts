/** Promises that nobody awaits: what they were to do may not be done, and what they give is used before it is there. */
import type { Found } from "./review-finding.ts";
import type { Meaning } from "./review-meaning.ts";
import { type AnyNode, type Identifier, isFunction, propertyNameOf, type Syntax } from "./review-syntax.ts";

const advice = "Write await before it.";
/** Methods of lists that do not wait for their function, and what comes of it. */
const impatient: Readonly<Record<string, string>> = {
  forEach: "forEach does not wait for an async function",
  filter: "filter takes the promise of an async function for true, and keeps everything",
  some: "some takes the promise of an async function for true",
  every: "every takes the promise of an async function for true",
  find: "find takes the promise of an async function for true, and gives the first",
  findIndex: "findIndex takes the promise of an async function for true, and gives the first",
};

export function reviewPromises(syntax: Syntax, meaning: Meaning): readonly Found[] {
  const found: Found[] = [];
  for (const node of syntax.nodes) {
    if (node.type !== "CallExpression") continue;
    const method = propertyNameOf(node.callee);
    const callback = node.arguments[0];
    if (method !== undefined && Object.hasOwn(impatient, method) && isFunction(callback) && callback.async) {
      found.push({
        code: "unawaited",
        message: `${impatient[method]}.`,
        advice: "Write a loop: for (const one of list) await …",
        node,
      });
    }
    const what = meaning.promiseOf(node);
    if (what === undefined) continue;
    const misuse = misuseOf(node, syntax);
    if (misuse !== undefined) found.push({ code: "unawaited", message: sentence(what, misuse), advice, node });
    else found.push(...reviewKept(node, what, syntax));
  }
  return found;
}

/** A promise that was put into a variable: whether anything is done with it that a promise is for. */
function reviewKept(node: AnyNode, what: string, syntax: Syntax): readonly Found[] {
  const parent = outerOf(node, syntax);
  if (parent?.type !== "VariableDeclarator" || parent.id.type !== "Identifier") return [];
  const variable = syntax.variableOf(parent.id);
  if (!variable || variable.writes.length > 0) return [];
  if (variable.uses.length === 0)
    return [{ code: "unawaited", message: sentence(what, "is never awaited"), advice, node }];
  return variable.uses.flatMap((use: Identifier): Found[] => {
    const misuse = misuseOf(use, syntax);
    const message = `${variable.name} is the promise of ${what}, and ${misuse}.`;
    return misuse === undefined || misuse === dropped ? [] : [{ code: "unawaited", message, advice, node: use }];
  });
}

const dropped = "is not awaited: the run may end before it is done";

function sentence(what: string, misuse: string): string {
  return `${what} gives a promise that ${misuse}.`;
}

/** How a promise is used as if it were its value; undefined where it is used as a promise, or handed on. */
function misuseOf(node: AnyNode, syntax: Syntax): string | undefined {
  let inner = node;
  for (let outer = syntax.parentOf(node); outer; inner = outer, outer = syntax.parentOf(outer)) {
    switch (outer.type) {
      case "ChainExpression":
        break;
      case "LogicalExpression":
        if (outer.left === inner && outer.operator !== "??")
          return "is taken for a condition: a promise is always true";
        break;
      case "ConditionalExpression":
        if (outer.test === inner) return "is taken for a condition: a promise is always true";
        break;
      case "SequenceExpression":
        if (outer.expressions.at(-1) !== inner) return dropped;
        break;
      case "ExpressionStatement":
        return dropped;
      case "IfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
        return "is taken for a condition: a promise is always true";
      case "UnaryExpression":
        return outer.operator === "void"
          ? dropped
          : outer.operator === "!"
            ? "is taken for a condition: a promise is always true"
            : "is used as if it were its value";
      case "BinaryExpression":
        return "is used as if it were its value";
      case "TemplateLiteral":
        return syntax.parentOf(outer)?.type === "TaggedTemplateExpression"
          ? undefined
          : "is put into a text: it reads [object Promise]";
      case "SpreadElement":
        return "is used as if it were its value";
      case "ForOfStatement":
        return outer.right === inner && !outer.await ? "is used as if it were its value" : undefined;
      case "MemberExpression":
        if (outer.object !== inner || ["then", "catch", "finally"].includes(propertyNameOf(outer) ?? ""))
          return undefined;
        return `has no ${propertyNameOf(outer) ?? "such member"}: its value has`;
      default:
        return undefined;
    }
  }
  return undefined;
}

/** The first node around that does more than hold the expression. */
function outerOf(node: AnyNode, syntax: Syntax): AnyNode | undefined {
  let outer = syntax.parentOf(node);
  while (outer?.type === "ChainExpression") outer = syntax.parentOf(outer);
  return outer;
}
