/** Runs inside the isolate: `mail.headers`, and the list of fields behind it. A field that nobody edits keeps its index, and so its octets. */
import type { Headers } from "../api.ts";
import {
  append,
  arrayIterator,
  createList,
  define,
  freeze,
  indexOf,
  lowerCase,
  matches,
  octetsOf,
  preventExtensions,
  toText,
} from "./primordials.ts";
import { alive, askHost, countAction, type FieldEntry, invalid, type RunState } from "./run-state.ts";

const nameLengthMax = 76;
/** Octets of a value; the server writes no field of more than 64 KiB, encoded. */
const valueOctetsMax = 40_000;
/** A word longer than this cannot be folded. RFC 5322 §2.1.1, less the longest name. */
const wordLengthMax = 900;
const fieldName = /^[!-9;-~]+$/;
const controlCharacter = /[\x00-\x08\x0a-\x1f\x7f]/;
const longWord = new RegExp(`[^ \\t]{${wordLengthMax + 1}}`);

/** The fields as the run has them, for a run that edits them. */
function fieldsOf(state: RunState): FieldEntry[] {
  if (state.fields) return state.fields;
  const fields = createList<FieldEntry>();
  const given = state.mail.fields;
  for (let i = 0; i < given.length; i++) fields[i] = { name: given[i]![0], value: given[i]![1], index: i };
  state.fields = fields;
  return fields;
}

/** Values of a name as they were written, unfolded. */
export function rawValues(state: RunState, name: string): string[] {
  const lower = lowerCase(name);
  const values: string[] = [];
  for (let i = 0; i < countOf(state); i++) if (isNamed(nameAt(state, i), lower)) append(values, valueAt(state, i));
  return values;
}

export function firstValue(state: RunState, name: string): string | undefined {
  const lower = lowerCase(name);
  for (let i = 0; i < countOf(state); i++) if (isNamed(nameAt(state, i), lower)) return decoded(valueAt(state, i));
  return undefined;
}

export function setField(state: RunState, name: string, value: string): void {
  countAction(state, name.length + value.length);
  checkName(state, name);
  checkValue(state, name, value);
  const lower = lowerCase(name);
  const fields = fieldsOf(state);
  const kept = createList<FieldEntry>();
  let same = 0;
  let unchanged = false;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (!isNamed(field.name, lower)) kept[kept.length] = field;
    else if (same++ === 0) {
      // Told to be what it is already, a field keeps its octets.
      unchanged = field.value === value || decoded(field.value) === value;
      kept[kept.length] = unchanged ? field : { name: field.name, value, index: -1 };
    }
  }
  if (same === 0) kept[kept.length] = { name, value, index: -1 };
  if (same === 1 && unchanged) return;
  state.fields = kept;
  state.fieldsChanged = true;
}

export function removeField(state: RunState, name: string): number {
  const lower = lowerCase(name);
  const fields = fieldsOf(state);
  const kept = createList<FieldEntry>();
  for (let i = 0; i < fields.length; i++) if (!isNamed(fields[i]!.name, lower)) kept[kept.length] = fields[i]!;
  const removed = fields.length - kept.length;
  if (removed > 0) {
    countAction(state);
    state.fields = kept;
    state.fieldsChanged = true;
  }
  return removed;
}

export class HeadersView implements Headers {
  readonly #state: RunState;

  constructor(state: RunState) {
    this.#state = state;
    preventExtensions(this);
  }

  get(name: string): string | undefined {
    return firstValue(alive(this.#state), nameGiven(this.#state, name));
  }

  getAll(name: string): readonly string[] {
    const values = rawValues(alive(this.#state), nameGiven(this.#state, name));
    for (let i = 0; i < values.length; i++) define(values, i, decoded(values[i]!));
    return freeze(values);
  }

  has(name: string): boolean {
    return rawValues(alive(this.#state), nameGiven(this.#state, name)).length > 0;
  }

  set(name: string, value: string): void {
    setField(alive(this.#state), nameGiven(this.#state, name), valueGiven(this.#state, value));
  }

  add(name: string, value: string): void {
    const state = alive(this.#state);
    const given = nameGiven(state, name);
    const text = valueGiven(state, value);
    countAction(state, given.length + text.length);
    checkName(state, given);
    checkValue(state, given, text);
    const fields = fieldsOf(state);
    fields[fields.length] = { name: given, value: text, index: -1 };
    state.fieldsChanged = true;
  }

  remove(name: string): number {
    return removeField(alive(this.#state), nameGiven(this.#state, name));
  }

  [Symbol.iterator](): IterableIterator<readonly [string, string]> {
    const state = alive(this.#state);
    const pairs: (readonly [string, string])[] = [];
    for (let i = 0; i < countOf(state); i++) {
      const name = nameAt(state, i);
      if (name !== "") append(pairs, freeze([name, decoded(valueAt(state, i))] as const));
    }
    return arrayIterator(pairs);
  }
}

freeze(HeadersView.prototype);

// A run that only reads makes no list of its own: it looks at what came in.

function countOf(state: RunState): number {
  return (state.fields ?? state.mail.fields).length;
}

function nameAt({ fields, mail }: RunState, i: number): string {
  return fields ? fields[i]!.name : mail.fields[i]![0];
}

function valueAt({ fields, mail }: RunState, i: number): string {
  return fields ? fields[i]!.value : mail.fields[i]![1];
}

function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && lowerCase(name) === lower;
}

function decoded(value: string): string {
  return indexOf(value, "=?") === -1 ? value : askHost("decode", value);
}

function nameGiven(state: RunState, name: unknown): string {
  return typeof name === "string" ? name : invalid(state, `A field's name is a text, not ${describe(name)}`);
}

function valueGiven(state: RunState, value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return toText(value);
  return invalid(state, `A field's value is a text, not ${describe(value)}`);
}

/** A field to be written. */
export function checkField(state: RunState, name: string, value: string): void {
  checkName(state, name);
  checkValue(state, name, value);
}

function checkName(state: RunState, name: string): void {
  if (name.length > nameLengthMax || !matches(fieldName, name)) {
    invalid(state, `A field's name is 1 to ${nameLengthMax} printable ASCII characters without colon and space`);
  }
}

function checkValue(state: RunState, name: string, value: string): void {
  if (matches(controlCharacter, value))
    invalid(state, `The value for ${name} holds CR, LF, NUL or another control character: a field is one line`);
  if (value.length > wordLengthMax && (octetsOf(value, valueOctetsMax) > valueOctetsMax || matches(longWord, value))) {
    invalid(
      state,
      `The value for ${name} is too long: at most ${valueOctetsMax} octets, and ${wordLengthMax} characters without white space`,
    );
  }
}

export function describe(value: unknown): string {
  return value === null ? "null" : typeof value === "object" ? "an object" : typeof value;
}
