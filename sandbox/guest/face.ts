/**
 * Runs inside the isolate: objects a script is handed, made of members by name. A face shows a thing of ours behind it, or facts, and nothing else: what it does
 * not show cannot be reached through it. A member that the event in hand does not have says so when it is used.
 */
import {
  append,
  define,
  defineProperty,
  freeze,
  getOwnPropertyNames,
  preventExtensions,
  TypeErrorOf,
} from "./primordials.ts";
import { alive, invalid, type RunState } from "./run-state.ts";

/** How one name behaves; `target` is the thing behind the face. Every property is its own: a script may have put others onto the prototypes. */
export interface Member {
  readonly key: string | symbol;
  /** Of a value. */
  readonly read: ((state: RunState, target: object) => unknown) | undefined;
  /** Of a value that can be set. */
  readonly write: ((state: RunState, target: object, value: unknown) => void) | undefined;
  /** Of a value that cannot: why. */
  readonly fixed: string;
  /** Of a function. */
  readonly call: ((state: RunState, target: object, args: readonly unknown[]) => unknown) | undefined;
}

export type Members = readonly Member[];

/** A kind of face, with these members. */
export type FaceOf = new (state: RunState, target: object) => object;

const { apply, deleteProperty } = Reflect;
const { getOwnPropertyDescriptor, hasOwn, isFrozen } = Object;

/** The run of a face, and the thing behind it. Nothing that a script can reach gives them. */
let stateOf: (face: unknown, key: string | symbol) => RunState;
let targetOf: (face: unknown) => object;

class Face {
  readonly #state: RunState;
  readonly #target: object;

  static {
    stateOf = (face, key) => {
      if (typeof face === "object" && face !== null && #state in face) return alive(face.#state);
      const name = typeof key === "string" ? key : "Symbol.iterator";
      throw new TypeErrorOf(`${name} was taken out of its object: write mail.${name} (or what the handler calls it)`);
    };
    // Asked behind the other alone.
    targetOf = (face) => (face as Face).#target;
  }

  constructor(state: RunState, target: object) {
    this.#state = state;
    this.#target = target;
    preventExtensions(this);
  }
}

deleteProperty(Face.prototype, "constructor");
freeze(Face.prototype);

/** A value that can be read, and set where there is `write`. */
export function valueMember(key: string | symbol, read: Member["read"], fixed = "", write?: Member["write"]): Member {
  return { key, read, write, fixed, call: undefined };
}

export function verbMember(key: string | symbol, call: Member["call"]): Member {
  return { key, read: undefined, write: undefined, fixed: "", call };
}

/** Of two members with one key the later one holds. */
export function createFace(members: Members): FaceOf {
  const Kind = class extends Face {
    // Written out: one that is left out would go through an iterator a script can have changed.
    constructor(state: RunState, target: object) {
      super(state, target);
    }
  };
  deleteProperty(Kind.prototype, "constructor");
  for (let i = 0; i < members.length; i++) {
    const { key, read, write, fixed, call } = members[i]!;
    if (call) {
      const verb = function (this: unknown, ...args: unknown[]) {
        return call(stateOf(this, key), targetOf(this), args);
      };
      define(Kind.prototype, key, freeze(verb), false);
    } else {
      defineProperty(Kind.prototype, key, {
        __proto__: null,
        get(this: unknown) {
          return read!(stateOf(this, key), targetOf(this));
        },
        set(this: unknown, value: unknown) {
          const state = stateOf(this, key);
          if (write) write(state, targetOf(this), value);
          else invalid(state, `${key as string} cannot be set${fixed}`);
        },
        enumerable: true,
        configurable: true,
      } as PropertyDescriptor);
    }
  }
  freeze(Kind.prototype);
  return Kind;
}

/** Members that do what those of the thing behind do; with `fixed` its values cannot be set, and that says why. A name the thing does not have is left out. */
export function membersOf(prototype: object, keys: readonly (string | symbol)[], fixed?: string): Members {
  const members: Member[] = [];
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    const found = getOwnPropertyDescriptor(prototype, key);
    if (found === undefined) continue;
    if (hasOwn(found, "get")) {
      const { get, set } = found;
      const read = (_: RunState, target: object) => apply(get!, target, []);
      const write =
        set && fixed === undefined
          ? (_: RunState, target: object, value: unknown) => void apply(set, target, [value])
          : undefined;
      append(members, valueMember(key, read, fixed, write));
    } else {
      const method = found.value as () => unknown;
      append(
        members,
        verbMember(key, (_, target, args) => apply(method, target, args as [])),
      );
    }
  }
  return members;
}

/** Functions that are a fault wherever they are called. */
export function absentMembers(names: readonly string[], wordsOf: (name: string) => string): Members {
  const members: Member[] = [];
  for (let i = 0; i < names.length; i++) {
    const key = names[i]!;
    append(
      members,
      verbMember(key, (state) => invalid(state, wordsOf(key))),
    );
  }
  return members;
}

export function joined(lists: readonly Members[]): Members {
  const members: Member[] = [];
  for (let i = 0; i < lists.length; i++) for (let k = 0; k < lists[i]!.length; k++) append(members, lists[i]![k]!);
  return members;
}

/** A value of JSON that nobody can change. */
export function frozen(value: unknown): unknown {
  if (typeof value !== "object" || value === null || isFrozen(value)) return value;
  const names = getOwnPropertyNames(value);
  for (let i = 0; i < names.length; i++) frozen((value as Record<string, unknown>)[names[i]!]);
  return freeze(value);
}
