/**
 * A compiled script as a tree whose names are resolved: what each identifier means, who declares it, where it is used. The script is one bundle of its
 * file and all that it imports, so a name is followed across files. The syntax is read by acorn; nothing is run.
 */
import {
  type AnyNode,
  type ArrowFunctionExpression,
  type FunctionDeclaration,
  type FunctionExpression,
  type Identifier,
  type Pattern,
  type Program,
  parse,
} from "acorn";

export type { AnyNode, Identifier };
export type FunctionNode = FunctionDeclaration | FunctionExpression | ArrowFunctionExpression;

/** A name, and all that is done with it. */
export interface Variable {
  readonly name: string;
  /** The function it belongs to; null for what is outside of all of them. */
  readonly owner: FunctionNode | null;
  /** Where it is declared. */
  readonly declaration: Identifier;
  /** What it is made with: the function of a function's name, the right side of `const x = …`; undefined for what is taken apart, and for parameters. */
  readonly init: AnyNode | undefined;
  readonly isParameter: boolean;
  readonly uses: Identifier[];
  /** Uses that give it another value. */
  readonly writes: Identifier[];
}

interface Scope {
  readonly outer: Scope | null;
  readonly owner: FunctionNode | null;
  /** Of a function or the program: where `var` goes. */
  readonly isWide: boolean;
  readonly names: Map<string, Variable>;
}

export interface Syntax {
  readonly program: Program;
  readonly variables: readonly Variable[];
  /** Every node, outer ones first. */
  readonly nodes: readonly AnyNode[];
  parentOf(node: AnyNode): AnyNode | undefined;
  /** undefined for a name nobody declares: a global. */
  variableOf(identifier: Identifier): Variable | undefined;
  /** The innermost function around a node. */
  functionAround(node: AnyNode): FunctionNode | null;
}

/** @throws {SyntaxError} where it cannot be read */
export function readSyntax(code: string): Syntax {
  const program = parse(code, { ecmaVersion: "latest", sourceType: "script" });
  const parents = new Map<AnyNode, AnyNode>();
  const nodes: AnyNode[] = [];
  const scopes = new Map<AnyNode, Scope>();
  const variables: Variable[] = [];
  const resolved = new Map<Identifier, Variable>();

  const declare = (scope: Scope, identifier: Identifier, init: AnyNode | undefined, isParameter = false) => {
    const known = scope.names.get(identifier.name);
    if (known) {
      if (!isParameter) resolved.set(identifier, known);
      return;
    }
    const variable: Variable = {
      name: identifier.name,
      owner: scope.owner,
      declaration: identifier,
      init,
      isParameter,
      uses: [],
      writes: [],
    };
    scope.names.set(identifier.name, variable);
    variables.push(variable);
    resolved.set(identifier, variable);
  };
  const wideOf = (scope: Scope): Scope => (scope.isWide ? scope : wideOf(scope.outer!));

  // Everything is declared before anything is looked up: functions and `var` are known above their lines.
  const enter = (node: AnyNode, parent: AnyNode | undefined, scope: Scope) => {
    if (parent) parents.set(node, parent);
    nodes.push(node);
    let own = scope;
    if (isFunction(node)) {
      if (node.type === "FunctionDeclaration" && node.id) declare(scope, node.id, node);
      own = { outer: scope, owner: node, isWide: true, names: new Map() };
      if (node.type === "FunctionExpression" && node.id) declare(own, node.id, node);
      for (const parameter of node.params) for (const name of namesIn(parameter)) declare(own, name, undefined, true);
    } else if (opensBlock(node))
      own = { outer: scope, owner: scope.owner, isWide: node.type === "Program", names: new Map() };
    if (node.type === "ClassDeclaration" && node.id) declare(scope, node.id, node);
    if (node.type === "CatchClause" && node.param)
      for (const name of namesIn(node.param)) declare(own, name, undefined);
    if (node.type === "VariableDeclaration") {
      const home = node.kind === "var" ? wideOf(scope) : scope;
      for (const { id, init } of node.declarations)
        for (const name of namesIn(id)) declare(home, name, id === name ? (init ?? undefined) : undefined);
    }
    scopes.set(node, own);
    for (const child of childrenOf(node)) enter(child, node, own);
  };
  enter(program, undefined, { outer: null, owner: null, isWide: true, names: new Map() });

  const parentOf = (node: AnyNode) => parents.get(node);
  for (const node of nodes) {
    if (node.type !== "Identifier" || resolved.has(node) || !isReference(node, parentOf(node)!)) continue;
    for (let scope: Scope | null = scopes.get(node)!; scope; scope = scope.outer) {
      const variable = scope.names.get(node.name);
      if (!variable) continue;
      resolved.set(node, variable);
      variable.uses.push(node);
      if (isWritten(node, parentOf)) variable.writes.push(node);
      break;
    }
  }
  return {
    program,
    variables,
    nodes,
    parentOf,
    variableOf: (identifier) => resolved.get(identifier),
    functionAround(node) {
      for (let outer = parentOf(node); outer; outer = parentOf(outer)) if (isFunction(outer)) return outer;
      return null;
    },
  };
}

export function isFunction(node: AnyNode | undefined): node is FunctionNode {
  return (
    node?.type === "FunctionDeclaration" ||
    node?.type === "FunctionExpression" ||
    node?.type === "ArrowFunctionExpression"
  );
}

/** Nodes directly below, in the order of the text. */
export function childrenOf(node: AnyNode): readonly AnyNode[] {
  const children: AnyNode[] = [];
  for (const value of Object.values(node) as unknown[]) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) if (isNode(one)) children.push(one);
  }
  return children;
}

/** Name of the property of `a.name` and `a["name"]`; undefined for a computed one. */
export function propertyNameOf(node: AnyNode): string | undefined {
  if (node.type !== "MemberExpression") return undefined;
  if (!node.computed) return node.property.type === "Identifier" ? node.property.name : undefined;
  return node.property.type === "Literal" && typeof node.property.value === "string" ? node.property.value : undefined;
}

/** The text of a literal, or of a template without anything put into it. */
export function literalTextOf(node: AnyNode | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node.value === "string") return node.value;
  if (node?.type === "TemplateLiteral" && node.expressions.length === 0)
    return node.quasis[0]?.value.cooked ?? undefined;
  return undefined;
}

/** Names that a pattern declares, those of parts of it included. */
export function namesIn(pattern: Pattern): readonly Identifier[] {
  switch (pattern.type) {
    case "Identifier":
      return [pattern];
    case "ObjectPattern":
      return pattern.properties.flatMap((one) => namesIn(one.type === "RestElement" ? one.argument : one.value));
    case "ArrayPattern":
      return pattern.elements.flatMap((one) => (one ? namesIn(one) : []));
    case "RestElement":
      return namesIn(pattern.argument);
    case "AssignmentPattern":
      return namesIn(pattern.left);
    case "MemberExpression":
      return [];
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

function opensBlock(node: AnyNode): boolean {
  return [
    "Program",
    "BlockStatement",
    "ForStatement",
    "ForInStatement",
    "ForOfStatement",
    "SwitchStatement",
    "CatchClause",
    "StaticBlock",
  ].includes(node.type);
}

/** Whether it is the name of a variable, and not of a property, a label or the like. */
function isReference(node: Identifier, parent: AnyNode): boolean {
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed;
    case "Property":
      return parent.value === node || parent.computed;
    case "MethodDefinition":
    case "PropertyDefinition":
      return parent.computed || (parent.type === "PropertyDefinition" && parent.value === node);
    case "LabeledStatement":
    case "BreakStatement":
    case "ContinueStatement":
    case "MetaProperty":
      return false;
    default:
      return true;
  }
}

function isWritten(node: Identifier, parentOf: (node: AnyNode) => AnyNode | undefined): boolean {
  let inner: AnyNode = node;
  for (let outer = parentOf(node); outer; inner = outer, outer = parentOf(outer)) {
    switch (outer.type) {
      case "UpdateExpression":
        return true;
      case "AssignmentExpression":
      case "ForOfStatement":
      case "ForInStatement":
        return outer.left === inner;
      case "AssignmentPattern":
        if (outer.left !== inner) return false;
        break;
      case "ArrayPattern":
      case "ObjectPattern":
      case "RestElement":
      case "Property":
        break;
      default:
        return false;
    }
  }
  return false;
}
