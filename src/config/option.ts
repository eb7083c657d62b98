/**
 * What a configuration's table is made of: options, sections, and lists of sections. The table itself is in schema.ts; the type of what
 * it gives is computed from it, so that a new option is one new line.
 */
import type { ValueKind } from "../platform/value.ts";

export interface Option<T> {
  readonly node: "option";
  readonly kind: ValueKind<unknown>;
  /** What holds where nothing is written. */
  readonly fallback: (() => T) | undefined;
  /** The fallback in words, where it depends on the machine or on another option. */
  readonly fallbackWords: string | undefined;
  /** A file or folder: made absolute when it is loaded. */
  readonly isPath: boolean;
  readonly sentence: string;
}

export interface Section<Children extends Nodes> {
  readonly node: "section";
  readonly children: Children;
  readonly sentence: string;
}

/** A section that is null where it is not written. */
export interface OptionalSection<Children extends Nodes> {
  readonly node: "optional-section";
  readonly children: Children;
  readonly sentence: string;
}

/** `[[name]]`, as often as wanted. */
export interface SectionList<Children extends Nodes> {
  readonly node: "list";
  readonly children: Children;
  readonly sentence: string;
  /** Tables that stand where none is written. */
  readonly fallback: readonly Readonly<Record<string, unknown>>[];
  /** Key of the option that names a table in dotted keys and in the environment; null: by its number. */
  readonly nameKey: string | null;
}

export type Node = Option<unknown> | Section<Nodes> | OptionalSection<Nodes> | SectionList<Nodes>;
export type Nodes = { readonly [key: string]: Node };

/** What a table gives: the values of its options, in its own shape. */
export type ValuesOf<N> =
  N extends Option<infer T>
    ? T
    : N extends Section<infer Children>
      ? { readonly [Key in keyof Children]: ValuesOf<Children[Key]> }
      : N extends OptionalSection<infer Children>
        ? { readonly [Key in keyof Children]: ValuesOf<Children[Key]> } | null
        : N extends SectionList<infer Children>
          ? readonly { readonly [Key in keyof Children]: ValuesOf<Children[Key]> }[]
          : never;

/** An option with a value of its own where none is written. */
export function option<T>(
  kind: ValueKind<T>,
  fallback: NoInfer<T> | (() => NoInfer<T>),
  sentence: string,
  fallbackWords?: string,
): Option<T> {
  const make = typeof fallback === "function" ? (fallback as () => T) : () => fallback;
  return { node: "option", kind, fallback: make, fallbackWords, isPath: false, sentence };
}

/** An option that must be written. */
export function required<T>(kind: ValueKind<T>, sentence: string): Option<T> {
  return { node: "option", kind, fallback: undefined, fallbackWords: undefined, isPath: false, sentence };
}

/** An option that is null where it is not written. */
export function optional<T>(kind: ValueKind<T>, sentence: string, fallbackWords?: string): Option<T | null> {
  return { node: "option", kind, fallback: () => null, fallbackWords, isPath: false, sentence };
}

/** The same option, for a file or folder. */
export function pathOption<T>(from: Option<T>): Option<T> {
  return { ...from, isPath: true };
}

export function section<const Children extends Nodes>(sentence: string, children: Children): Section<Children> {
  return { node: "section", children, sentence };
}

export function optionalSection<const Children extends Nodes>(
  sentence: string,
  children: Children,
): OptionalSection<Children> {
  return { node: "optional-section", children, sentence };
}

export function sectionList<const Children extends Nodes>(
  sentence: string,
  options: { readonly nameKey: string | null; readonly fallback: readonly Readonly<Record<string, unknown>>[] },
  children: Children,
): SectionList<Children> {
  return { node: "list", children, sentence, ...options };
}
