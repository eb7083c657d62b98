/**
 * Kinds of option values: how each is written in TOML, on the command line and in the environment, and what it is in the program.
 * Every kind says in words what it expects; the reference page and the editor's JSON schema use the same words and bounds. Native sinks read their
 * properties with the same kinds.
 */
import { isIP } from "node:net";

/** What became of a raw value: the value the program uses, or what was expected instead. */
type Parsed<T> = { readonly value: T } | { readonly expected: string; readonly nearest?: string };

export interface ValueKind<T> {
  /** What a value is, in words: `a size such as "25MiB"`. */
  readonly expects: string;
  /** A value as TOML gives it. */
  parse(raw: unknown): Parsed<T>;
  /** The TOML value a text of the command line or the environment stands for. */
  fromText(text: string): unknown;
  /** As TOML writes it. */
  format(value: T): string;
  readonly jsonSchema: Readonly<Record<string, unknown>>;
}

export const quoted = (value: string) => JSON.stringify(value);
const asIs = (text: string) => text;

/** Octets of a text; nothing in a configuration needs more. */
const textLengthMax = 1_000;

/** Any text of one line that `pattern` allows. */
export function text(expects: string, pattern = /^[^\x00-\x1f\x7f]+$/): ValueKind<string> {
  return {
    expects,
    parse: (raw) =>
      typeof raw === "string" && raw.length <= textLengthMax && pattern.test(raw)
        ? { value: raw }
        : { expected: expects },
    fromText: asIs,
    format: quoted,
    jsonSchema: { type: "string", minLength: 1, maxLength: textLengthMax },
  };
}

/** A file or folder; whoever loads it makes it absolute. */
export function path(expects: string): ValueKind<string> {
  return text(expects);
}

export const ipAddress: ValueKind<string> = {
  ...text("an IPv4 or IPv6 address"),
  parse: (raw) =>
    typeof raw === "string" && isIP(raw) !== 0 ? { value: raw } : { expected: "an IPv4 or IPv6 address" },
};

/** One name or a list of them, out of a closed set. */
export function choices<const T extends string>(what: string, allowed: readonly T[]): ValueKind<readonly T[]> {
  const one = choice(what, allowed);
  return {
    expects: `a list of ${what}s`,
    parse(raw) {
      if (!Array.isArray(raw) || raw.length === 0) return { expected: `a list of ${what}s` };
      const values: T[] = [];
      for (const item of raw as unknown[]) {
        const parsed = one.parse(item);
        if (!("value" in parsed)) return parsed;
        values.push(parsed.value);
      }
      return { value: values };
    },
    fromText: (value) => value.split(",").map((item) => item.trim()),
    format: (values) => `[${values.map(quoted).join(", ")}]`,
    jsonSchema: { type: "array", minItems: 1, items: { enum: allowed } },
  };
}

/** One word out of a closed set. */
export function choice<const T extends string>(what: string, allowed: readonly T[]): ValueKind<T> {
  const list =
    allowed.length > 8 ? `the name of ${/^[aeio]/.test(what) ? "an" : "a"} ${what}` : allowed.map(quoted).join(" or ");
  return {
    expects: list,
    parse(raw) {
      const found = allowed.find((word) => word === raw);
      if (found !== undefined) return { value: found };
      const nearest = typeof raw === "string" ? nearestWord(raw, allowed) : undefined;
      return nearest === undefined ? { expected: list } : { expected: list, nearest };
    },
    fromText: asIs,
    format: quoted,
    jsonSchema: { enum: allowed },
  };
}

export const flag: ValueKind<boolean> = {
  expects: "true or false",
  parse: (raw) => (typeof raw === "boolean" ? { value: raw } : { expected: "true or false" }),
  fromText: (value) => (value === "true" || value === "1" ? true : value === "false" || value === "0" ? false : value),
  format: String,
  jsonSchema: { type: "boolean" },
};

/** A whole number within bounds, both included. */
export function count({ min, max }: { readonly min: number; readonly max: number }): ValueKind<number> {
  const expects = `a whole number from ${min} to ${max}`;
  return {
    expects,
    parse: (raw) =>
      typeof raw === "number" && Number.isInteger(raw) && raw >= min && raw <= max
        ? { value: raw }
        : { expected: expects },
    fromText: (value) => (/^-?\d+$/.test(value) ? Number(value) : value),
    format: String,
    jsonSchema: { type: "integer", minimum: min, maximum: max },
  };
}

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** Octets: a number, or a number with a unit (`"25MiB"`, `"10MB"`). Bounds in octets, both included. */
export function size({ min, max }: { readonly min: number; readonly max: number }): ValueKind<number> {
  const expects = `a size such as "25MiB", from ${formatSize(min)} to ${formatSize(max)}`;
  return {
    expects,
    parse(raw) {
      const match = typeof raw === "string" ? /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(raw) : null;
      const factor = match ? sizeUnits[match[2]!.toLowerCase()] : undefined;
      const octets =
        typeof raw === "number"
          ? raw
          : match && factor !== undefined
            ? Math.round(Number(match[1]) * factor)
            : Number.NaN;
      return Number.isInteger(octets) && octets >= min && octets <= max ? { value: octets } : { expected: expects };
    },
    fromText: asIs,
    format: (octets) => quoted(formatSize(octets)),
    jsonSchema: {
      anyOf: [
        { type: "integer", minimum: min, maximum: max },
        { type: "string", pattern: "^[0-9]+([.][0-9]+)? ?([kKmMgG]i?)?[bB]?$" },
      ],
    },
  };
}

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Time: a number with a unit (`"5s"`, `"30m"`, `"5d"`); a number alone would not say which. Bounds in milliseconds, both included. */
export function duration({ minMs, maxMs }: { readonly minMs: number; readonly maxMs: number }): ValueKind<number> {
  const expects = `a duration such as "5s", from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
  return {
    expects,
    parse(raw) {
      const match = typeof raw === "string" ? /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(raw) : null;
      const ms = match ? Math.round(Number(match[1]) * durationUnits[match[2]!]!) : Number.NaN;
      return ms >= minMs && ms <= maxMs ? { value: ms } : { expected: expects };
    },
    fromText: asIs,
    format: (ms) => quoted(formatDuration(ms)),
    jsonSchema: { type: "string", pattern: "^[0-9]+([.][0-9]+)? ?(ms|s|m|h|d)$" },
  };
}

/** So many times in so long. */
export interface Rate {
  readonly times: number;
  readonly withinMs: number;
}

const rateExpects = 'a rate such as "10/1m": so many times in so long';
const timesKind = count({ min: 1, max: 1_000_000 });
const withinKind = duration({ minMs: 100, maxMs: 7 * 86_400_000 });

/** `"10/1m"`; `"10/m"` is ten in one minute. */
export const rate: ValueKind<Rate> = {
  ...text(rateExpects),
  parse(raw) {
    const match = typeof raw === "string" ? /^(\d{1,7})\s*\/\s*(\S+)$/.exec(raw) : null;
    const times = timesKind.parse(Number(match?.[1]));
    const within = withinKind.parse(match?.[2]?.replace(/^(?=[a-z])/, "1"));
    return "value" in times && "value" in within
      ? { value: { times: times.value, withinMs: within.value } }
      : { expected: rateExpects };
  },
  format: ({ times, withinMs }) => quoted(`${times}/${formatDuration(withinMs)}`),
};

/** A list of texts that `pattern` allows. */
export function list(expects: string, pattern: RegExp): ValueKind<readonly string[]> {
  return {
    expects,
    parse: (raw) =>
      Array.isArray(raw) && raw.every((item) => typeof item === "string" && pattern.test(item))
        ? { value: raw as readonly string[] }
        : { expected: expects },
    fromText: (value) =>
      value
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    format: (values) => `[${values.map(quoted).join(", ")}]`,
    jsonSchema: { type: "array", items: { type: "string" } },
  };
}

/** Free key-values, handed on as they are. */
export const table: ValueKind<Readonly<Record<string, unknown>>> = {
  expects: "a table",
  parse: (raw) => (isTable(raw) ? { value: raw } : { expected: "a table" }),
  fromText: asIs,
  format: formatInline,
  jsonSchema: { type: "object" },
};

/** A value of any shape on one line of TOML. */
function formatInline(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatInline).join(", ")}]`;
  if (value instanceof Date) return value.toISOString();
  if (!isTable(value)) return JSON.stringify(value);
  const pairs = Object.entries(value).map(
    ([key, item]) => `${/^[A-Za-z0-9_-]+$/.test(key) ? key : quoted(key)} = ${formatInline(item)}`,
  );
  return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
}

/** The largest unit that says it exactly: `25MiB`. */
export function formatSize(octets: number): string {
  for (const [unit, factor] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (octets >= factor && octets % factor === 0) return `${octets / factor}${unit}`;
  }
  return `${octets}B`;
}

/** The largest unit that says it exactly: `5d`. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    const factor = durationUnits[unit]!;
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}

export function isTable(raw: unknown): raw is Readonly<Record<string, unknown>> {
  return typeof raw === "object" && raw !== null && !Array.isArray(raw) && !(raw instanceof Date);
}

/** A value somebody wrote, short enough for a line. */
export function describeRaw(raw: unknown): string {
  const words =
    raw instanceof Date
      ? raw.toISOString()
      : isTable(raw)
        ? "a table"
        : Array.isArray(raw) && raw.length > 3
          ? "a list"
          : (JSON.stringify(raw) ?? String(raw));
  return words.length > 60 ? `${words.slice(0, 60)}…` : words;
}

/** The word that was probably meant: at most a third of its letters differ. */
export function nearestWord(written: string, words: readonly string[]): string | undefined {
  const plain = (word: string) =>
    word
      .toLowerCase()
      .replace(/[-_ ]/g, "")
      .replace(/(octets|ms|mib)(?=max$|$)/, "");
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const word of words) {
    const distance = editDistance(plain(written), plain(word));
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(word.length / 3))) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that make one word of the other. */
function editDistance(one: string, other: string): number {
  if (one.length > 64 || other.length > 64) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[other.length]!;
}
