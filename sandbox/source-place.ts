/**
 * Where something happened in a script: places in compiled code, mapped back to the lines its author wrote. A stack is text that the script
 * can forge, so only frames in the script's own code are looked at, and all they can give is a place in the script's own files.
 */
import { SourceMap } from "node:module";
import { plainLine } from "./plain-line.ts";

/** What V8 is told the compiled script is called. Nothing else may be named so. */
export const compiledFileName = "compiled:///script.js";
/** Lines in front of the code, where the isolate wraps it into a function. */
export const linesBefore = 1;

const framesMax = 20;
const stackLengthMax = 16_384;
const frame = /^\s{0,16}at (async )?(?:(.{0,200}?) ?\()?compiled:\/\/\/script\.js:(\d{1,7}):(\d{1,7})\)?$/;

export interface SourcePlace {
  /** `scripts/x.ts:12:7`, or null where no frame is the script's own. */
  readonly at: string | null;
  /** One frame a line: `name (scripts/x.ts:12:7)`. */
  readonly stack: string;
}

export class SourcePlaces {
  readonly #json: string;
  #map: SourceMap | undefined;

  /** Takes the map as JSON text; it is parsed when it is needed, which is when something went wrong. */
  constructor(sourceMapJson: string) {
    this.#json = sourceMapJson;
  }

  /** The frames of a V8 stack that are the script's own. Never throws. */
  ofStack(stack: string): SourcePlace {
    const lines: string[] = [];
    let at: string | null = null;
    for (const line of stack.slice(0, stackLengthMax).split("\n")) {
      const match = frame.exec(line);
      if (!match) continue;
      const place = this.#place(Number(match[3]) - linesBefore, Number(match[4]));
      if (place === null) continue;
      at ??= place;
      const name = plainLine(match[2] ?? "", 80);
      lines.push(name === "" ? `at ${place}` : `at ${name} (${place})`);
      if (lines.length === framesMax) break;
    }
    return { at, stack: lines.join("\n") };
  }

  /** Line and column from 1 in the compiled code. */
  #place(line: number, column: number): string | null {
    if (line < 1 || column < 1) return null;
    try {
      this.#map ??= new SourceMap(JSON.parse(this.#json));
      const entry = this.#map.findEntry(line - 1, column - 1);
      if (!("originalSource" in entry) || typeof entry.originalSource !== "string") return null;
      return plainLine(`${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`, 300);
    } catch {
      return null;
    }
  }
}
