/** Two verdicts on one way through a handler: the second one is a fault, and most likely a `return` is missing behind the first. */
import type { Found } from "./review-finding.ts";
import type { Meaning } from "./review-meaning.ts";
import { type AnyNode, childrenOf, isFunction } from "./review-syntax.ts";

/** Ways that lead to a place: some on which no verdict was given, and a verdict that was given on another. */
interface Ways {
  readonly without: boolean;
  readonly given: AnyNode | null;
}

const none: Ways = { without: false, given: null };

/** Where a statement leads to: behind it, out of a loop or switch, or to the next round. */
interface Ends {
  readonly next: Ways;
  readonly broken: Ways;
  readonly continued: Ways;
}

export function reviewVerdicts(meaning: Meaning): readonly Found[] {
  const found = new Map<AnyNode, Found>();
  for (const { node } of meaning.handlers) {
    const walk = new Walk(meaning, found);
    const begin: Ways = { without: true, given: null };
    if (node.body.type === "BlockStatement") walk.statements(node.body.body, begin);
    else walk.expression(node.body, begin);
  }
  return [...found.values()];
}

class Walk {
  readonly #meaning: Meaning;
  readonly #found: Map<AnyNode, Found>;

  constructor(meaning: Meaning, found: Map<AnyNode, Found>) {
    this.#meaning = meaning;
    this.#found = found;
  }

  statements(list: readonly AnyNode[], from: Ways): Ends {
    let ends = through(from);
    for (const statement of list) ends = after(ends, this.statement(statement, ends.next));
    return ends;
  }

  statement(node: AnyNode, from: Ways): Ends {
    // Nothing leads here.
    if (!from.without && from.given === null) return through(none);
    switch (node.type) {
      case "BlockStatement":
        return this.statements(node.body, from);
      case "LabeledStatement": {
        const ends = this.statement(node.body, from);
        return { ...ends, next: join(ends.next, ends.broken), broken: none };
      }
      case "IfStatement": {
        const tested = this.expression(node.test, from);
        const yes = this.statement(node.consequent, tested);
        const no = node.alternate ? this.statement(node.alternate, tested) : through(tested);
        return either(yes, no);
      }
      case "ForStatement":
        return this.#loop(node.body, this.expressions([node.init, node.test], from));
      case "WhileStatement":
        return this.#loop(node.body, this.expression(node.test, from));
      case "ForOfStatement":
      case "ForInStatement":
        return this.#loop(node.body, this.expression(node.right, from));
      case "DoWhileStatement": {
        const first = this.statement(node.body, from);
        return this.#loop(node.body, join(first.next, first.continued), first.broken);
      }
      case "SwitchStatement": {
        const tested = this.expression(node.discriminant, from);
        let ends = through(none);
        for (const { consequent } of node.cases)
          ends = after(ends, this.statements(consequent, join(tested, ends.next)));
        const leaves = node.cases.some(({ test }) => !test) ? none : tested;
        return { next: join(join(ends.next, ends.broken), leaves), broken: none, continued: ends.continued };
      }
      case "TryStatement": {
        const tried = this.statement(node.block, from);
        const caught = node.handler ? this.statement(node.handler.body, join(from, tried.next)) : through(none);
        const ends = either(tried, caught);
        return node.finalizer ? after(ends, this.statement(node.finalizer, ends.next)) : ends;
      }
      case "ReturnStatement":
      case "ThrowStatement":
        this.expression(node.argument, from);
        return through(none);
      // A label may lead anywhere: nothing is said about those ways.
      case "BreakStatement":
        return { next: none, broken: node.label ? none : from, continued: none };
      case "ContinueStatement":
        return { next: none, broken: none, continued: node.label ? none : from };
      case "VariableDeclaration":
        return through(
          this.expressions(
            node.declarations.map(({ init }) => init),
            from,
          ),
        );
      case "ExpressionStatement":
        return through(this.expression(node.expression, from));
      default:
        return through(from);
    }
  }

  expressions(list: readonly (AnyNode | null | undefined)[], from: Ways): Ways {
    return list.reduce<Ways>((ways, node) => this.expression(node, ways), from);
  }

  /** Verdicts given while an expression is worked out; what may be left out of it is one way of two. */
  expression(node: AnyNode | null | undefined, from: Ways): Ways {
    if (!node || isFunction(node)) return from;
    if (node.type === "VariableDeclaration") return this.statement(node, from).next;
    if (node.type === "ConditionalExpression") {
      const tested = this.expression(node.test, from);
      return join(this.expression(node.consequent, tested), this.expression(node.alternate, tested));
    }
    if (node.type === "LogicalExpression") {
      const left = this.expression(node.left, from);
      return join(left, this.expression(node.right, left));
    }
    const ways = this.expressions(childrenOf(node), from);
    const verb = this.#meaning.verdictOf(node);
    if (verb === undefined) return ways;
    if (ways.given !== null) {
      const message =
        ways.given === node
          ? `${verb} may be called again in the next round of its loop, and a run has one verdict.`
          : `${verb} may be reached after another verdict was given, and a run has one.`;
      const advice = "Write return behind the first: giving a verdict does not leave the handler.";
      this.#found.set(node, { code: "two-verdicts", message, advice, node });
    }
    return { without: false, given: node };
  }

  /** None, one or two rounds: a second one shows what the first leads to. */
  #loop(body: AnyNode, from: Ways, broken: Ways = none): Ends {
    const first = this.statement(body, from);
    const again = join(from, join(first.next, first.continued));
    const second = this.statement(body, again);
    const out = join(join(first.broken, second.broken), broken);
    return through(join(join(again, join(second.next, second.continued)), out));
  }
}

function through(next: Ways): Ends {
  return { next, broken: none, continued: none };
}

function join(one: Ways, other: Ways): Ways {
  return { without: one.without || other.without, given: one.given ?? other.given };
}

function either(one: Ends, other: Ends): Ends {
  return {
    next: join(one.next, other.next),
    broken: join(one.broken, other.broken),
    continued: join(one.continued, other.continued),
  };
}

/** The second statement behind the first. */
function after(one: Ends, other: Ends): Ends {
  return {
    next: other.next,
    broken: join(one.broken, other.broken),
    continued: join(one.continued, other.continued),
  };
}
