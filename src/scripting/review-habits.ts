/** Habits that do not fit scripts: state in the module, the console, handlers that do not look at what they are asked about. */
import type { Found } from "./review-finding.ts";
import { isGlobal, type Meaning } from "./review-meaning.ts";
import {
  type AnyNode,
  type Identifier,
  isFunction,
  namesIn,
  propertyNameOf,
  type Syntax,
  type Variable,
} from "./review-syntax.ts";

const changing: Readonly<Record<string, readonly string[]>> = {
  Map: ["set", "delete", "clear"],
  Set: ["add", "delete", "clear"],
  WeakMap: ["set", "delete"],
  WeakSet: ["add", "delete"],
  list: ["push", "pop", "shift", "unshift", "splice", "sort", "reverse", "fill", "copyWithin"],
};

export function reviewHabits(syntax: Syntax, meaning: Meaning): readonly Found[] {
  return [...consoleCalls(syntax), ...moduleState(syntax), ...blindHandlers(syntax, meaning)];
}

function consoleCalls(syntax: Syntax): readonly Found[] {
  return syntax.nodes.flatMap((node): Found[] => {
    if (
      node.type !== "CallExpression" ||
      node.callee.type !== "MemberExpression" ||
      !isGlobal(node.callee.object, "console", syntax)
    )
      return [];
    const message = `console.${propertyNameOf(node.callee) ?? "log"} writes a line into the server's log for every message.`;
    return [
      {
        code: "console",
        message,
        advice: "Take it out, or write log.debug, which is off unless the log's level is debug.",
        node,
      },
    ];
  });
}

/** What a handler changes of its module lives as long as its isolate, and no longer: each variable is told once, where it is first changed. */
function moduleState(syntax: Syntax): readonly Found[] {
  // The compiler puts the whole bundle into one function.
  const module = syntax.nodes.find(isFunction) ?? null;
  return syntax.variables.flatMap((variable): Found[] => {
    if (variable.owner !== module || variable.isParameter) return [];
    const changed = variable.uses.find(
      (use) => syntax.functionAround(use) !== module && isChanged(use, variable, syntax),
    );
    if (!changed) return [];
    const isRegex = variable.init?.type === "Literal" && variable.init.regex !== undefined;
    return [
      {
        code: "module-state",
        message: isRegex
          ? `${variable.name} has the flag g or y, and keeps its place from one message to the next.`
          : `${variable.name} is changed while a message is handled; it may vanish at any time, and every isolate has its own.`,
        advice: isRegex
          ? "Leave the flag out, or make the expression inside of the handler."
          : "Keep what has to last in kv or mail.notes.",
        node: changed,
      },
    ];
  });
}

function isChanged(use: Identifier, variable: Variable, syntax: Syntax): boolean {
  const { init } = variable;
  const parent = syntax.parentOf(use);
  // `cache ??= …` is made again where it has vanished.
  if (parent?.type === "AssignmentExpression" && parent.operator === "??=") return false;
  if (variable.writes.includes(use)) return true;
  if (parent?.type !== "MemberExpression" || parent.object !== use || !init) return false;
  const outer = syntax.parentOf(parent);
  const name = propertyNameOf(parent);
  const isCall = outer?.type === "CallExpression" && outer.callee === parent;
  if (init.type === "Literal" && init.regex)
    return isCall && /[gy]/.test(init.regex.flags) && (name === "test" || name === "exec");
  const kind = kindOf(init);
  if (kind === undefined) return false;
  if (isCall) return name !== undefined && (changing[kind]?.includes(name) ?? false);
  return (
    (outer?.type === "AssignmentExpression" && outer.left === parent && outer.operator !== "??=") ||
    outer?.type === "UpdateExpression" ||
    (outer?.type === "UnaryExpression" && outer.operator === "delete")
  );
}

function kindOf(init: AnyNode): string | undefined {
  if (init.type === "ArrayExpression") return "list";
  if (init.type === "ObjectExpression") return "object";
  if (init.type !== "NewExpression" || init.callee.type !== "Identifier") return undefined;
  return Object.hasOwn(changing, init.callee.name) ? init.callee.name : undefined;
}

/** A name that begins with `_` says that it is meant so. */
function blindHandlers(syntax: Syntax, { handlers }: Meaning): readonly Found[] {
  return handlers.flatMap(({ event, node }): Found[] => {
    const names = node.params[0] ? namesIn(node.params[0]) : [];
    if (names.some((name) => name.name.startsWith("_") || (syntax.variableOf(name)?.uses.length ?? 0) > 0)) return [];
    return [
      {
        code: "unused-mail",
        message: `${event} never looks at what it is asked about: it does the same for every one.`,
        advice: "Use its first parameter, or give it a name that begins with _ where that is meant.",
        node,
      },
    ];
  });
}
