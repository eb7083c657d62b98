/** Circles among addresses that stand for each other: Tarjan's strongly connected components, without recursion. Pure. */

/** An address in the graph of expansions. */
export interface Linked {
  /** Whom it stands for; empty where it stands for itself. */
  readonly children: readonly Linked[];
}

/**
 * Everything that can be reached from `roots`, in components: members of a circle together, anybody else alone. A component stands behind all those it leads to.
 * Linear in addresses and links.
 */
export function componentsOf<Node extends Linked>(roots: readonly Node[]): Node[][] {
  const components: Node[][] = [];
  const marks = new Map<Linked, { readonly order: number; low: number; onStack: boolean }>();
  const stack: Linked[] = [];
  for (const root of roots) {
    if (marks.has(root)) continue;
    const path: { readonly node: Linked; next: number }[] = [];
    const enter = (node: Linked) => {
      marks.set(node, { order: marks.size, low: marks.size, onStack: true });
      stack.push(node);
      path.push({ node, next: 0 });
    };
    enter(root);
    for (let step = path.at(-1); step; step = path.at(-1)) {
      const mark = marks.get(step.node)!;
      const child = step.node.children[step.next];
      if (child) {
        step.next += 1;
        const known = marks.get(child);
        if (!known) enter(child);
        else if (known.onStack) mark.low = Math.min(mark.low, known.order);
        continue;
      }
      path.pop();
      const parent = path.at(-1);
      if (parent) {
        const above = marks.get(parent.node)!;
        above.low = Math.min(above.low, mark.low);
      }
      if (mark.low !== mark.order) continue;
      const members = stack.splice(stack.lastIndexOf(step.node));
      for (const member of members) marks.get(member)!.onStack = false;
      // What a node leads to has its own type.
      components.push(members as Node[]);
    }
  }
  return components;
}
