/**
 * The review of a script: what is legal and most likely not meant, found in its compiled code without running it, told at the line its author wrote.
 * docs/review.md has a section for each code. It says nothing rather than guess.
 */
import { SourceMap } from "node:module";
import { plainLine } from "../../sandbox/plain-line.ts";
import type { CompiledScript, ScriptExports } from "../../sandbox/protocol.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Finding, Found } from "./review-finding.ts";
import { reviewGrants } from "./review-grants.ts";
import { reviewHabits } from "./review-habits.ts";
import { withoutIgnored } from "./review-ignore.ts";
import { Meaning } from "./review-meaning.ts";
import { reviewPromises } from "./review-promises.ts";
import { reviewRegexes } from "./review-regex.ts";
import { reviewRule } from "./review-rule.ts";
import { type AnyNode, readSyntax } from "./review-syntax.ts";
import { reviewVerdicts } from "./review-verdicts.ts";

export interface ReviewWork {
  readonly compiled: Pick<CompiledScript, "name" | "code" | "sourceMap" | "sources">;
  readonly exports: ScriptExports;
}

const findingsMax = 100;

/** In the order of files and lines; at most a hundred. @throws {Error} where the code cannot be read */
export function reviewScript({ compiled, exports }: ReviewWork): readonly Finding[] {
  const syntax = readSyntax(compiled.code);
  const meaning = new Meaning(syntax);
  const found: readonly Found[] = [
    ...reviewRule(syntax, exports),
    ...reviewGrants(syntax, meaning, exports.grants ?? {}),
    ...reviewPromises(syntax, meaning),
    ...reviewVerdicts(meaning),
    ...reviewHabits(syntax, meaning),
    ...reviewRegexes(syntax),
  ];
  const places = new Places(compiled);
  const findings = found.flatMap(({ node, code, message, advice }): Finding[] => {
    const at = places.of(node);
    return at === undefined ? [] : [{ code, message: plainLine(message, 300), advice: plainLine(advice, 300), at }];
  });
  return withoutIgnored(findings, compiled.sources, compiled.name).toSorted(byPlace).slice(0, findingsMax);
}

/** A finding in one line, for the log and lists. */
export function describeFinding({ code, message, advice, at }: Finding): string {
  return `${at}: ${message} ${advice} (${code})`;
}

/** Why a review could not be made, in words. */
export function describeNoReview(error: unknown): string {
  return `The script could not be reviewed: ${describeThrown(error)}`;
}

/** Places in the compiled code as the author's. */
class Places {
  readonly #map: SourceMap;
  readonly #lineStarts: readonly number[];

  constructor({ code, sourceMap }: ReviewWork["compiled"]) {
    this.#map = new SourceMap(JSON.parse(sourceMap));
    this.#lineStarts = [0, ...[...code.matchAll(/\n/g)].map(({ index }) => index + 1)];
  }

  /** undefined for what the compiler put in, and for what is in a package. */
  of({ start }: AnyNode): string | undefined {
    const line = this.#lineStarts.findLastIndex((at) => at <= start);
    const entry = this.#map.findEntry(line, start - this.#lineStarts[line]!);
    if (!("originalSource" in entry) || entry.originalSource.includes("node_modules/")) return undefined;
    return plainLine(`${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`, 300);
  }
}

function byPlace(one: Finding, other: Finding): number {
  const [oneFile, oneLine, oneColumn] = partsOf(one.at);
  const [otherFile, otherLine, otherColumn] = partsOf(other.at);
  return oneFile === otherFile ? oneLine - otherLine || oneColumn - otherColumn : oneFile < otherFile ? -1 : 1;
}

function partsOf(at: string): readonly [file: string, line: number, column: number] {
  const [, file, line, column] = /^(.*):(\d+):(\d+)$/.exec(at)!;
  return [file!, Number(line), Number(column)];
}
