/**
 * Where in a TOML text each key stands: the parser gives values without places, and an error without a place is half an error.
 * The text has been parsed before, so it is valid TOML 1.0; anything the scanner does not know ends the scan, and later keys have no place.
 */

interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
}

/** A key's way from the root; a number counts the tables of an array, or the items of a list. */
export type KeyPath = readonly (string | number)[];

/** Finds the place of a key, or of the nearest table around it that is written. */
export interface Places {
  of(path: KeyPath): Place | undefined;
  /** Whether exactly this key is written in the text. */
  has(path: KeyPath): boolean;
}

export function locateKeys(toml: string): Places {
  const offsets = new Map<string, number>();
  new Scanner(toml, offsets).scan();
  return {
    has: (path) => offsets.has(idOf(path)),
    of(path) {
      for (let length = path.length; length > 0; length--) {
        const offset = offsets.get(idOf(path.slice(0, length)));
        if (offset !== undefined) return placeAt(toml, offset);
      }
      return undefined;
    },
  };
}

function placeAt(text: string, offset: number): Place {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
}

/** NUL cannot stand in a TOML key, so joined paths do not collide. */
function idOf(path: KeyPath): string {
  return path.map((step) => (typeof step === "number" ? `#${step}` : `.${step}`)).join("\0");
}

class Scanner {
  readonly #text: string;
  readonly #offsets: Map<string, number>;
  /** How many `[[tables]]` of a name there are so far. */
  readonly #counts = new Map<string, number>();
  #at = 0;

  constructor(text: string, offsets: Map<string, number>) {
    this.#text = text;
    this.#offsets = offsets;
  }

  scan(): void {
    let table: KeyPath = [];
    for (;;) {
      this.#skipBlank();
      if (this.#at >= this.#text.length) return;
      if (this.#text[this.#at] === "[") table = this.#header();
      else if (!this.#keyValue(table)) return;
    }
  }

  /** `[a.b]` or `[[a.b]]`; gives the path of the table that begins. */
  #header(): KeyPath {
    const isArray = this.#text[this.#at + 1] === "[";
    const start = this.#at;
    this.#at += isArray ? 2 : 1;
    const keys = this.#dottedKey();
    this.#at += isArray ? 2 : 1;
    let path: KeyPath = [];
    for (const [i, { key, offset }] of keys.entries()) {
      path = [...path, key];
      const isLast = i === keys.length - 1;
      if (isArray && isLast) {
        const count = this.#counts.get(idOf(path)) ?? 0;
        this.#counts.set(idOf(path), count + 1);
        this.#note(path, start);
        path = [...path, count];
      } else if (this.#counts.has(idOf(path))) {
        // A name on the way that is an array of tables means the last table of it.
        path = [...path, this.#counts.get(idOf(path))! - 1];
        continue;
      }
      this.#note(path, isLast ? start : offset);
    }
    return path;
  }

  #keyValue(table: KeyPath): boolean {
    const keys = this.#dottedKey();
    if (keys.length === 0) return false;
    let path = table;
    for (const { key, offset } of keys) this.#note((path = [...path, key]), offset);
    this.#skipSpace();
    if (this.#text[this.#at] !== "=") return false;
    this.#at++;
    this.#value(path);
    return true;
  }

  #value(path: KeyPath): void {
    this.#skipSpace();
    const start = this.#at;
    switch (this.#text[start]) {
      case '"':
      case "'":
        this.#string();
        return;
      case "[": {
        this.#at++;
        for (let i = 0; ; i++) {
          this.#skipBlank(",");
          if (this.#at >= this.#text.length || this.#text[this.#at] === "]") break;
          const before = this.#at;
          this.#note([...path, i], before);
          this.#value([...path, i]);
          if (this.#at === before) break;
        }
        this.#at++;
        return;
      }
      case "{":
        this.#at++;
        for (;;) {
          this.#skipBlank(",");
          if (this.#at >= this.#text.length || this.#text[this.#at] === "}") break;
          if (!this.#keyValue(path)) break;
        }
        this.#at++;
        return;
      default:
        while (this.#at < this.#text.length && !/[,\]}#\r\n]/.test(this.#text[this.#at]!)) this.#at++;
    }
  }

  /** Passes a string of any of the four kinds; gives its text, escapes as they are. */
  #string(): string {
    const quote = this.#text[this.#at]!;
    const long = this.#text.startsWith(quote.repeat(3), this.#at);
    const end = long ? quote.repeat(3) : quote;
    const start = (this.#at += end.length);
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at))
      this.#at += quote === '"' && this.#text[this.#at] === "\\" ? 2 : 1;
    const text = this.#text.slice(start, this.#at);
    this.#at += end.length;
    // Up to two quotes may stand before the closing three.
    while (long && this.#text[this.#at] === quote) this.#at++;
    return text;
  }

  #dottedKey(): { readonly key: string; readonly offset: number }[] {
    const keys: { readonly key: string; readonly offset: number }[] = [];
    for (;;) {
      this.#skipSpace();
      const offset = this.#at;
      const first = this.#text[offset];
      let key: string;
      if (first === '"' || first === "'") key = this.#string();
      else {
        key = /^[A-Za-z0-9_-]*/.exec(this.#text.slice(offset, offset + 200))![0];
        if (key === "") return keys;
        this.#at += key.length;
      }
      keys.push({ key, offset });
      this.#skipSpace();
      if (this.#text[this.#at] !== ".") return keys;
      this.#at++;
    }
  }

  /** The first place of a key is the one to show. */
  #note(path: KeyPath, offset: number): void {
    const id = idOf(path);
    if (!this.#offsets.has(id)) this.#offsets.set(id, offset);
  }

  #skipSpace(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  /** White space, line ends and comments; also `separator` where it is given. */
  #skipBlank(separator = ""): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]!;
      if (character === "#") {
        const lineEnd = this.#text.indexOf("\n", this.#at);
        this.#at = lineEnd === -1 ? this.#text.length : lineEnd;
      } else if (!/\s/.test(character) && character !== separator) return;
    }
  }
}
