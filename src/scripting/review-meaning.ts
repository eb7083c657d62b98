/**
 * What the expressions of a script mean, as far as the script API gives it away: which are the message, a store, a promise. It begins with the
 * parameters of the exported handlers and follows names, members, calls and what is handed to the script's own functions.
 */
import {
  type AnyNode,
  type FunctionNode,
  type Identifier,
  isFunction,
  propertyNameOf,
  type Syntax,
  type Variable,
} from "./review-syntax.ts";

/** What a value is. `verdict` and `submission` are methods that were taken out of the message. */
export type Kind =
  | "mail"
  | "context"
  | "http"
  | "dns"
  | "kv"
  | "secrets"
  | "log"
  | "attachments"
  | "attachment"
  | "response"
  | "verdict"
  | "submission"
  | "promising";

export interface Handler {
  /** Such as `onArrival`. */
  readonly event: string;
  readonly node: FunctionNode;
}

export const verdictVerbs: readonly string[] = ["refuse", "defer", "discard", "quarantine", "settle", "drop"];
export const submissionVerbs: readonly string[] = ["submit", "reply"];

/** Members that are of a kind themselves. */
const members: { readonly [Key in Kind]?: Readonly<Record<string, Kind>> } = {
  mail: { attachments: "attachments" },
  context: { http: "http", dns: "dns", kv: "kv", secrets: "secrets", log: "log" },
};
/** Methods that give a promise, and the kind it is a promise of. */
const promises: { readonly [Key in Kind]?: Readonly<Record<string, Kind | null>> } = {
  mail: {
    text: null,
    html: null,
    raw: null,
    setText: null,
    setHtml: null,
    appendText: null,
    appendHtml: null,
    attach: null,
  },
  attachment: { content: null, text: null },
  http: { get: "response", post: "response", request: "response" },
  response: { text: null, json: null, bytes: null },
  dns: { a: null, aaaa: null, mx: null, txt: null, ptr: null, listed: null },
  kv: { get: null, set: null, delete: null, increment: null, setIfAbsent: null, list: null },
  secrets: { get: null },
};
const listMethods: readonly string[] = ["find", "findLast", "at"];
const eachMethods: readonly string[] = [
  ...listMethods,
  "filter",
  "some",
  "every",
  "forEach",
  "map",
  "flatMap",
  "findIndex",
];
/** Rounds in which kinds are handed on from function to function. */
const roundsMax = 5;

export class Meaning {
  readonly handlers: readonly Handler[];
  readonly #syntax: Syntax;
  readonly #kinds = new Map<Variable, Kind>();

  constructor(syntax: Syntax) {
    this.#syntax = syntax;
    this.handlers = handlersOf(syntax);
    for (const { node } of this.handlers) {
      this.#bind(node.params[0], "mail");
      this.#bind(node.params[1], "context");
    }
    for (let round = 0; round < roundsMax && this.#spread(); round++);
  }

  /** The kind of a value; undefined where that is not known. */
  kindOf(node: AnyNode | null | undefined): Kind | undefined {
    switch (node?.type) {
      case "Identifier": {
        const variable = this.#syntax.variableOf(node);
        return variable && this.#kinds.get(variable);
      }
      case "MemberExpression": {
        const kind = this.kindOf(node.object);
        const name = propertyNameOf(node);
        if (kind === "attachments" && node.computed) return "attachment";
        return kind && name !== undefined ? memberKind(kind, name) : undefined;
      }
      case "CallExpression": {
        const { callee } = node;
        if (callee.type === "MemberExpression" && this.kindOf(callee.object) === "attachments")
          return listMethods.includes(propertyNameOf(callee) ?? "") ? "attachment" : "attachments";
        return undefined;
      }
      case "AwaitExpression":
        return this.#promised(node.argument);
      case "ChainExpression":
        return this.kindOf(node.expression);
      case "LogicalExpression":
        return this.kindOf(node.left) ?? this.kindOf(node.right);
      default:
        return undefined;
    }
  }

  /** What gives a promise here, in words such as `text()`; undefined where none is given, as far as is known. */
  promiseOf(node: AnyNode | null | undefined): string | undefined {
    if (node?.type === "ChainExpression") return this.promiseOf(node.expression);
    if (node?.type !== "CallExpression") return undefined;
    const { callee } = node;
    if (callee.type === "Identifier") {
      const variable = this.#syntax.variableOf(callee);
      if (!variable) return callee.name === "fetch" ? "fetch()" : undefined;
      if (this.#kinds.get(variable) === "promising") return `${callee.name}()`;
      return isFunction(variable.init) && variable.init.async && variable.writes.length === 0
        ? `${callee.name}()`
        : undefined;
    }
    if (isFunction(callee)) return callee.async ? "an async function" : undefined;
    const name = propertyNameOf(callee);
    if (callee.type !== "MemberExpression" || name === undefined) return undefined;
    if (["then", "catch", "finally"].includes(name)) return this.promiseOf(callee.object);
    const kind = this.kindOf(callee.object);
    if (kind && Object.hasOwn(promises[kind] ?? {}, name)) return `${name}()`;
    if (isGlobal(callee.object, "Promise", this.#syntax) && ["all", "allSettled", "any", "race"].includes(name))
      return `Promise.${name}()`;
    return undefined;
  }

  /** The verb of a call that gives a verdict; undefined where it gives none. */
  verdictOf(node: AnyNode): string | undefined {
    return this.#verbOf(node, verdictVerbs, "verdict");
  }

  /** The verb of a call that makes a message. */
  submissionOf(node: AnyNode): string | undefined {
    return this.#verbOf(node, submissionVerbs, "submission");
  }

  #verbOf(node: AnyNode, verbs: readonly string[], kind: Kind): string | undefined {
    if (node.type !== "CallExpression") return undefined;
    const { callee } = node;
    if (callee.type === "Identifier") return this.kindOf(callee) === kind ? callee.name : undefined;
    const name = propertyNameOf(callee);
    if (callee.type !== "MemberExpression" || name === undefined || !verbs.includes(name)) return undefined;
    return this.kindOf(callee.object) === "mail" ? name : undefined;
  }

  #promised(node: AnyNode): Kind | undefined {
    if (node.type !== "CallExpression" || node.callee.type !== "MemberExpression") {
      return this.promiseOf(node) === "fetch()" ? "response" : this.kindOf(node);
    }
    const kind = this.kindOf(node.callee.object);
    const name = propertyNameOf(node.callee);
    const promised = kind && name !== undefined ? promises[kind]?.[name] : undefined;
    return promised ?? this.kindOf(node);
  }

  /** One round of handing on; whether anything more is known after it. */
  #spread(): boolean {
    const before = this.#kinds.size;
    for (const node of this.#syntax.nodes) {
      if (node.type === "VariableDeclarator" && node.init) this.#bind(node.id, this.kindOf(node.init));
      if (
        node.type === "ForOfStatement" &&
        node.left.type === "VariableDeclaration" &&
        this.kindOf(node.right) === "attachments"
      )
        this.#bind(node.left.declarations[0]?.id, "attachment");
      if (node.type !== "CallExpression") continue;
      const { callee } = node;
      if (
        callee.type === "MemberExpression" &&
        this.kindOf(callee.object) === "attachments" &&
        eachMethods.includes(propertyNameOf(callee) ?? "")
      ) {
        const callback = node.arguments[0];
        if (isFunction(callback)) this.#bind(callback.params[0], "attachment");
      }
      const called = callee.type === "Identifier" ? this.#syntax.variableOf(callee)?.init : undefined;
      if (!isFunction(called)) continue;
      for (const [at, argument] of node.arguments.entries()) this.#bind(called.params[at], this.kindOf(argument));
    }
    return this.#kinds.size > before;
  }

  /** A name, or the names of a pattern that takes a value apart, are what the value is. */
  #bind(pattern: AnyNode | null | undefined, kind: Kind | undefined): void {
    if (!pattern || !kind) return;
    if (pattern.type === "AssignmentPattern") this.#bind(pattern.left, kind);
    if (pattern.type === "Identifier") {
      const variable = this.#syntax.variableOf(pattern);
      if (variable && !this.#kinds.has(variable)) this.#kinds.set(variable, kind);
    }
    if (pattern.type !== "ObjectPattern") return;
    for (const property of pattern.properties) {
      if (property.type === "RestElement") this.#bind(property.argument, kind);
      else if (!property.computed && property.key.type === "Identifier")
        this.#bind(property.value, memberKind(kind, property.key.name));
    }
  }
}

function memberKind(kind: Kind, name: string): Kind | undefined {
  const member = members[kind];
  if (member && Object.hasOwn(member, name)) return member[name];
  if (kind === "mail" && verdictVerbs.includes(name)) return "verdict";
  if (kind === "mail" && submissionVerbs.includes(name)) return "submission";
  return Object.hasOwn(promises[kind] ?? {}, name) ? "promising" : undefined;
}

/** Whether it is a name that the script itself does not declare. */
export function isGlobal(node: AnyNode, name: string, syntax: Syntax): node is Identifier {
  return node.type === "Identifier" && node.name === name && !syntax.variableOf(node);
}

/**
 * What a script exports, by name. The compiler puts it at the end as `return __toCommonJS(exports)`, and the names before as
 * `__export(exports, { name: () => variable })`.
 */
export function exportsOf(syntax: Syntax): ReadonlyMap<string, Variable> {
  const found = new Map<string, Variable>();
  const last = syntax.nodes.findLast(
    (node) =>
      node.type === "ReturnStatement" &&
      node.argument?.type === "CallExpression" &&
      isNamed(node.argument.callee, "__toCommonJS"),
  );
  const holder =
    last?.type === "ReturnStatement" && last.argument?.type === "CallExpression"
      ? last.argument.arguments[0]
      : undefined;
  if (holder?.type !== "Identifier") return found;
  for (const node of syntax.nodes) {
    if (node.type !== "CallExpression" || !isNamed(node.callee, "__export") || !isNamed(node.arguments[0], holder.name))
      continue;
    const list = node.arguments[1];
    if (list?.type !== "ObjectExpression") continue;
    for (const property of list.properties) {
      if (property.type !== "Property" || property.value.type !== "ArrowFunctionExpression") continue;
      const { key, value } = property;
      const name = key.type === "Identifier" ? key.name : key.type === "Literal" ? String(key.value) : undefined;
      const variable = value.body.type === "Identifier" ? syntax.variableOf(value.body) : undefined;
      if (name !== undefined && variable) found.set(name, variable);
    }
  }
  return found;
}

function handlersOf(syntax: Syntax): readonly Handler[] {
  const handlers: Handler[] = [];
  for (const [event, { init }] of exportsOf(syntax))
    if (/^on[A-Z]/.test(event) && isFunction(init)) handlers.push({ event, node: init });
  return handlers;
}

function isNamed(node: AnyNode | undefined, name: string): boolean {
  return node?.type === "Identifier" && node.name === name;
}
