/**
 * How the time of a regular expression grows with the text. A backtracking engine tries every way in which the expression takes the same characters
 * before it says no; so what counts is how many such ways there are. The positions of the expression that take a character become an automaton: a
 * loop with two ways around for one text means exponential growth, a row of loops that take one text among them a power of its length.
 */
import { type Shape, shapeOf } from "./regex-shape.ts";

export interface Growth {
  /** Infinity: exponential. */
  readonly degree: number;
  /** The part of the expression where it happens, such as `\w`. */
  readonly around: string;
}

/** Below this it is not told: squares are everywhere, and texts are short. */
const degreeMin = 3;
/** Copies a counted repetition is taken apart into; beyond that it counts as endless. */
const copiesMax = 5;
/** An expression beyond these is not judged. */
const positionsMax = 1_000;
const stepsMax = 300_000;

/** null where it grows no faster than the square of the text's length, and where that cannot be told. */
export function growthOf(source: string, flags: string): Growth | null {
  try {
    const shape = shapeOf(source, flags);
    const whole: Shape =
      isAnchored(shape) || flags.includes("y") ? shape : { kind: "sequence", parts: [anywhere, shape] };
    const growths = [whole, ...conditionsIn(shape)].map((one) => new Automaton(one).growth());
    return growths.reduce(
      (worst, growth) => (growth && growth.degree > (worst?.degree ?? degreeMin - 1) ? growth : worst),
      null,
    );
  } catch {
    // No expression, or one too large: the script is told when it runs.
    return null;
  }
}

/** What the engine does by itself: it tries from each place of the text. */
const anywhere: Shape = {
  kind: "repeat",
  of: { kind: "set", set: (1n << 2_000n) - 1n, text: "the start" },
  min: 0,
  max: Infinity,
};

function isAnchored(shape: Shape): boolean {
  switch (shape.kind) {
    case "condition":
      return shape.isStart === true;
    case "sequence":
      return shape.parts[0] !== undefined && isAnchored(shape.parts[0]);
    case "either":
      return shape.parts.every(isAnchored);
    default:
      return false;
  }
}

/** Expressions that are looked for at a place: a match of their own each. */
function conditionsIn(shape: Shape): readonly Shape[] {
  switch (shape.kind) {
    case "sequence":
    case "either":
      return shape.parts.flatMap(conditionsIn);
    case "repeat":
      return conditionsIn(shape.of);
    case "condition":
      return shape.of ? [shape.of, ...conditionsIn(shape.of)] : [];
    default:
      return [];
  }
}

/** Of a part of the expression: positions it may begin and end with. */
interface Part {
  readonly first: readonly number[];
  readonly last: readonly number[];
  /** Of `last`, those behind which nothing can fail any more. */
  readonly free: readonly number[];
  /** Whether it may take nothing; and that without a condition. */
  readonly isEmpty: boolean;
  readonly isFreelyEmpty: boolean;
}

const nothing: Part = { first: [], last: [], free: [], isEmpty: true, isFreelyEmpty: true };

class Automaton {
  readonly #sets: bigint[] = [];
  readonly #texts: string[] = [];
  /** How many ways lead from one position to the next. */
  readonly #next: Map<number, number>[] = [];
  readonly #free: ReadonlySet<number>;
  /** The loop a position is in; -1 for none. */
  readonly #loopOf: readonly number[];
  readonly #loops: readonly (readonly number[])[];
  #steps = 0;

  constructor(shape: Shape) {
    this.#free = new Set(this.#build(shape).free);
    const loops = stronglyConnected(this.#next).filter(
      ([one, ...others]) => others.length > 0 || this.#next[one!]!.has(one!),
    );
    this.#loops = loops;
    this.#loopOf = this.#sets.map((_, position) => loops.findIndex((loop) => loop.includes(position)));
  }

  growth(): Growth | null {
    // Where a loop may be left to an end that cannot fail, the first way through is taken, and no other is tried.
    const risky = this.#loops
      .map((loop, at) => ({ loop, at }))
      .filter(({ loop }) => !loop.some((one) => this.#free.has(one)));
    for (const { loop } of risky) {
      const around = this.#ambiguous(loop);
      if (around !== undefined) return { degree: Infinity, around: this.#texts[around]! };
    }
    let worst: Growth | null = null;
    const degrees = new Map<number, number>();
    const degreeFrom = (at: number): number => {
      const known = degrees.get(at);
      if (known !== undefined) return known;
      const below = risky.filter((other) => other.at !== at && this.#share(this.#loops[at]!, other.loop));
      const degree = 1 + Math.max(0, ...below.map((other) => degreeFrom(other.at)));
      degrees.set(at, degree);
      if (degree >= degreeMin && degree > (worst?.degree ?? 0)) {
        const deepest = below.toSorted((one, other) => degreeFrom(other.at) - degreeFrom(one.at))[0]!;
        worst = { degree, around: this.#texts[deepest.loop[0]!]! };
      }
      return degree;
    };
    for (const { at } of risky) degreeFrom(at);
    return worst;
  }

  #build(shape: Shape): Part {
    switch (shape.kind) {
      case "set": {
        const position = this.#sets.push(shape.set) - 1;
        if (position >= positionsMax) throw new Error("too large");
        this.#texts.push(shape.text);
        this.#next.push(new Map());
        return { first: [position], last: [position], free: [position], isEmpty: false, isFreelyEmpty: false };
      }
      case "condition":
        return { ...nothing, isFreelyEmpty: false };
      case "sequence":
        return shape.parts.reduce<Part>((before, part) => this.#inSequence(before, this.#build(part)), nothing);
      case "either": {
        const parts = shape.parts.map((part) => this.#build(part));
        return {
          first: parts.flatMap(({ first }) => first),
          last: parts.flatMap(({ last }) => last),
          free: parts.flatMap(({ free }) => free),
          isEmpty: parts.some(({ isEmpty }) => isEmpty),
          isFreelyEmpty: parts.some(({ isFreelyEmpty }) => isFreelyEmpty),
        };
      }
      case "repeat":
        return this.#repeated(shape);
    }
  }

  #repeated({ of, min, max }: Shape & { readonly kind: "repeat" }): Part {
    if (max === 0) return nothing;
    if (max <= copiesMax) {
      // What may follow is within what may be left out: x(x(x)?)? takes a text in one way.
      let tail: Part = nothing;
      const copies = Array.from({ length: max }, () => this.#build(of)).reverse();
      for (const [at, copy] of copies.entries()) {
        const both = this.#inSequence(copy, tail);
        tail = max - at > min ? { ...both, isEmpty: true, isFreelyEmpty: true } : both;
      }
      return tail;
    }
    const before = min > 1 ? this.#build(of) : nothing;
    const loop = this.#build(of);
    this.#lead(loop.last, loop.first);
    return this.#inSequence(before, min === 0 ? { ...loop, isEmpty: true, isFreelyEmpty: true } : loop);
  }

  #inSequence(one: Part, other: Part): Part {
    this.#lead(one.last, other.first);
    return {
      first: one.isEmpty ? [...one.first, ...other.first] : one.first,
      last: other.isEmpty ? [...one.last, ...other.last] : other.last,
      free: other.isFreelyEmpty ? [...one.free, ...other.free] : other.free,
      isEmpty: one.isEmpty && other.isEmpty,
      isFreelyEmpty: one.isFreelyEmpty && other.isFreelyEmpty,
    };
  }

  #lead(from: readonly number[], to: readonly number[]): void {
    for (const one of from) {
      for (const other of to) {
        this.#count();
        this.#next[one]!.set(other, (this.#next[one]!.get(other) ?? 0) + 1);
      }
    }
  }

  /** A position of the loop from which one text leads back to it in two ways; undefined where there is none. */
  #ambiguous(loop: readonly number[]): number | undefined {
    const inside = new Set(loop);
    for (const one of loop)
      for (const [other, ways] of this.#next[one]!) if (inside.has(other) && ways > 1) return other;
    const size = this.#sets.length;
    // Two walkers that read the same text: from one place, apart, and together again.
    const pairs = new Map<number, number>();
    const next: Map<number, number>[] = [];
    const enter = (one: number, other: number) => {
      const key = one * size + other;
      let at = pairs.get(key);
      if (at === undefined) {
        at = pairs.size;
        pairs.set(key, at);
        next.push(new Map());
      }
      return at;
    };
    for (const one of loop) enter(one, one);
    for (const key of pairs.keys()) {
      const [one, other] = [Math.floor(key / size), key % size];
      for (const to of this.#next[one]!.keys()) {
        for (const also of this.#next[other]!.keys()) {
          this.#count();
          if (inside.has(to) && inside.has(also) && (this.#sets[to]! & this.#sets[also]!) !== 0n)
            next[pairs.get(key)!]!.set(enter(to, also), 1);
        }
      }
    }
    const keys = [...pairs.keys()];
    const isTogether = (at: number) => Math.floor(keys[at]! / size) === keys[at]! % size;
    for (const group of stronglyConnected(next)) {
      const together = group.find(isTogether);
      if (together !== undefined && !group.every(isTogether)) return keys[together]! % size;
    }
    return undefined;
  }

  /** Whether one text leads around the first loop, around the second, and from the first to the second. */
  #share(from: readonly number[], to: readonly number[]): boolean {
    const size = this.#sets.length;
    const [fromLoop, toLoop] = [this.#loopOf[from[0]!], this.#loopOf[to[0]!]];
    for (const one of from) {
      for (const other of to) {
        const goal = (one * size + other) * size + other;
        const begin = (one * size + one) * size + other;
        const seen = new Set([begin]);
        for (const key of seen) {
          const [x, y, z] = [Math.floor(key / size / size), Math.floor(key / size) % size, key % size];
          for (const nextX of this.#next[x]!.keys()) {
            if (this.#loopOf[nextX] !== fromLoop) continue;
            for (const nextZ of this.#next[z]!.keys()) {
              const both = this.#sets[nextX]! & this.#sets[nextZ]!;
              if (this.#loopOf[nextZ] !== toLoop || both === 0n) continue;
              for (const nextY of this.#next[y]!.keys()) {
                this.#count();
                if ((both & this.#sets[nextY]!) !== 0n) seen.add((nextX * size + nextY) * size + nextZ);
              }
            }
          }
        }
        if (seen.has(goal)) return true;
      }
    }
    return false;
  }

  #count(): void {
    if (++this.#steps > stepsMax) throw new Error("too much to look at");
  }
}

/** Groups of places each of which leads to each other one. Without recursion: there may be many. */
function stronglyConnected(next: readonly ReadonlyMap<number, number>[]): readonly (readonly number[])[] {
  const groups: number[][] = [];
  const order: number[] = new Array(next.length).fill(-1);
  const low: number[] = new Array(next.length).fill(-1);
  const open: number[] = [];
  const isOpen: boolean[] = new Array(next.length).fill(false);
  let count = 0;
  for (let root = 0; root < next.length; root++) {
    if (order[root] !== -1) continue;
    const path: { readonly at: number; readonly rest: Iterator<number> }[] = [];
    const visit = (at: number) => {
      order[at] = low[at] = count++;
      open.push(at);
      isOpen[at] = true;
      path.push({ at, rest: next[at]!.keys() });
    };
    visit(root);
    while (path.length > 0) {
      const { at, rest } = path.at(-1)!;
      const step = rest.next();
      if (!step.done) {
        if (order[step.value] === -1) visit(step.value);
        else if (isOpen[step.value]) low[at] = Math.min(low[at]!, order[step.value]!);
        continue;
      }
      path.pop();
      const outer = path.at(-1);
      if (outer) low[outer.at] = Math.min(low[outer.at]!, low[at]!);
      if (low[at] !== order[at]) continue;
      const group: number[] = [];
      for (let one = -1; one !== at; ) {
        one = open.pop()!;
        isOpen[one] = false;
        group.push(one);
      }
      groups.push(group);
    }
  }
  return groups;
}
