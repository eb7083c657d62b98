/** Keeps secrets out of records: as they are, as part of a URL, and in base64, wherever they were put. Where a script knows one, values of its header fields are left out. */
import type { Json } from "./api.ts";
import type { HostQuestion } from "./host-call.ts";

/** Fields whose values say nothing about who asks. */
const plainFields = new Set(["accept", "accept-language", "content-type", "if-match", "if-none-match", "user-agent"]);
const leftOut = "[not recorded]";
/** A shorter piece of base64 would be found by chance. */
const pieceLengthMin = 6;

/** What a record says in the place of a secret. */
export function secretMark(name: string): string {
  return `[secret ${name}]`;
}

export class Redaction {
  /** Whether a script could know a secret. */
  readonly isMasked: boolean;
  /** What to look for, and what stands in its place; the longest first. */
  #replacements: (readonly [found: string, mark: string])[] = [];

  constructor(isMasked: boolean) {
    this.isMasked = isMasked;
  }

  learn(name: string, secret: string): void {
    if (secret === "") return;
    const mark = secretMark(name);
    const forms: (readonly [string, string])[] = [
      [secret, mark],
      [encodeURIComponent(secret.toWellFormed()), encodeURIComponent(mark)],
      [JSON.stringify(secret).slice(1, -1), mark],
      [Buffer.from(secret).toString("latin1"), mark],
      ...base64Pieces(secret).map((piece) => [piece, mark] as const),
    ];
    this.#replacements.push(...forms);
    this.#replacements.sort(([one], [other]) => other.length - one.length);
  }

  text(text: string): string {
    return this.#replacements.reduce((rest, [found, mark]) => rest.replaceAll(found, mark), text);
  }

  json(value: Json): Json {
    if (!this.isMasked) return value;
    if (typeof value === "string") return this.text(value);
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((item: Json) => this.json(item));
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [this.text(name), this.json(item as Json)]));
  }

  octets(octets: Uint8Array): Buffer {
    const given = Buffer.from(octets);
    return this.isMasked ? Buffer.from(this.text(given.toString("latin1")), "latin1") : given;
  }

  question(question: HostQuestion): HostQuestion {
    if (!this.isMasked || question.kind === "secret") return question;
    // The same shape, with other texts in it.
    const { kind, ...rest } = masked(question);
    return { kind, ...(this.json(rest as Json) as object) } as HostQuestion;
  }
}

/** What makes a question the same as a recorded one. `isMasked`: in a run that knew a secret, for which less is recorded. */
export function keyOf(question: HostQuestion, body: string | null, isMasked: boolean): string {
  return isMasked ? JSON.stringify([masked(question)]) : JSON.stringify([question, body]);
}

function masked(question: HostQuestion): HostQuestion {
  if (question.kind !== "http") return question;
  const headers = question.headers.map(
    ([name, value]) => [name, plainFields.has(name.toLowerCase()) ? value : leftOut] as const,
  );
  return { ...question, headers };
}

/** What of a secret's base64 is the same whatever stands around it, for the three places it can begin at. RFC 4648 §4, §5. */
function base64Pieces(secret: string): readonly string[] {
  const pieces = [0, 1, 2].flatMap((before) => {
    const octets = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    const digits = Math.floor((octets.length * 8) / 6);
    const piece = octets.toString("base64").slice(Math.ceil((before * 8) / 6), digits);
    return [piece, piece.replaceAll("+", "-").replaceAll("/", "_")];
  });
  return [...new Set(pieces)].filter((piece) => piece.length >= pieceLengthMin);
}
