/**
 * A regular expression taken apart as far as the time it takes depends on it: what takes characters, what repeats, what can fail. Which characters a
 * class takes is asked of the engine itself, for a sample of them.
 */

export type Shape =
  /** Takes one character: a bit for each of the sample that it takes. */
  | { readonly kind: "set"; readonly set: bigint; readonly text: string }
  | { readonly kind: "sequence" | "either"; readonly parts: readonly Shape[] }
  | { readonly kind: "repeat"; readonly of: Shape; readonly min: number; readonly max: number }
  /** Takes nothing and may fail. With `of`, it looks for that first. */
  | { readonly kind: "condition"; readonly of?: Shape; readonly isStart?: boolean };

/** Characters of many scripts and kinds; those that the expression itself names are added. */
const sampled = `${Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join("")}\u00a0éßЖ漢あ\u2028٣`;

/** @throws {Error} where it is none */
export function shapeOf(source: string, flags: string): Shape {
  // The engine's word is what counts.
  new RegExp(source, flags);
  return new Reader(source, flags).read();
}

class Reader {
  readonly #source: string;
  readonly #flags: string;
  readonly #sample: readonly string[];
  readonly #sets = new Map<string, bigint>();
  #at = 0;

  constructor(source: string, flags: string) {
    this.#source = source;
    this.#flags = flags.replaceAll(/[dgy]/g, "");
    this.#sample = [...new Set([...sampled, ...source])];
  }

  read(): Shape {
    return this.#either();
  }

  #either(): Shape {
    const parts = [this.#sequence()];
    while (this.#source[this.#at] === "|") {
      this.#at++;
      parts.push(this.#sequence());
    }
    return parts.length === 1 ? parts[0]! : { kind: "either", parts };
  }

  #sequence(): Shape {
    const parts: Shape[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at]!)) parts.push(this.#repeated());
    return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
  }

  #repeated(): Shape {
    const of = this.#atom();
    const match = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/.exec(this.#source.slice(this.#at, this.#at + 40));
    if (!match) return of;
    this.#at += match[0].length;
    const [, sign, least, comma, most] = match;
    const min = sign ? (sign === "+" ? 1 : 0) : Number(least);
    const max = sign ? (sign === "?" ? 1 : Infinity) : comma ? (most ? Number(most) : Infinity) : min;
    return { kind: "repeat", of, min, max };
  }

  #atom(): Shape {
    const start = this.#at;
    const rest = this.#source.slice(start);
    const group = /^\((?:\?(?:([=!]|<[=!])|<[^>=!][^>]*>|[ims]*(?:-[ims]+)?:))?/.exec(rest);
    if (group) {
      this.#at += group[0].length;
      const of = this.#either();
      this.#at++;
      return group[1] === undefined ? of : { kind: "condition", of };
    }
    if (rest[0] === "^" || rest[0] === "$") {
      this.#at++;
      return { kind: "condition", isStart: rest[0] === "^" && !this.#flags.includes("m") };
    }
    const zeroWidth = /^\\(?:[bB]|k<[^>]*>|[1-9]\d*)/.exec(rest);
    if (zeroWidth) {
      this.#at += zeroWidth[0].length;
      return { kind: "condition" };
    }
    this.#at +=
      rest[0] === "[" ? classLength(rest, this.#flags.includes("v")) : characterLength(rest, /[uv]/.test(this.#flags));
    const text = this.#source.slice(start, this.#at);
    return { kind: "set", set: this.#setOf(text), text };
  }

  #setOf(text: string): bigint {
    const known = this.#sets.get(text);
    if (known !== undefined) return known;
    let set = 0n;
    const one = new RegExp(`^(?:${text})$`, this.#flags.replace("m", ""));
    for (const [at, character] of this.#sample.entries()) if (one.test(character)) set |= 1n << BigInt(at);
    this.#sets.set(text, set);
    return set;
  }
}

/** From `[` to its `]`; with the flag v there may be classes within. */
function classLength(text: string, nests: boolean): number {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "[" && (nests || depth === 0)) depth++;
    else if (text[at] === "]" && --depth === 0) return at + 1;
  }
  return text.length;
}

function characterLength(text: string, isUnicode: boolean): number {
  const escaped = /^\\(?:x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f]+\}|u[0-9A-Fa-f]{4}|c[A-Za-z]|[pP]\{[^}]*\}|.)/su.exec(text);
  if (escaped) return escaped[0].length;
  return isUnicode ? String.fromCodePoint(text.codePointAt(0)!).length : 1;
}
