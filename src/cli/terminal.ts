/**
 * Where a command writes: its result on standard output, everything else on standard error. Colours only where a terminal shows them, or
 * where they are asked for; lines that redraw themselves only on a terminal.
 */
import { stripVTControlCharacters, styleText } from "node:util";

export type ColorMode = "auto" | "always" | "never";
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export interface Output {
  write(text: string): void;
  /** The text in that style, or as it is where there are no colours. */
  paint(style: Style, text: string): string;
}

export interface Terminal {
  /** Results: what another program may read. */
  readonly out: Output;
  /** Messages and progress, for people. */
  readonly err: Output;
  /** Whether a line on `err` may redraw itself. */
  readonly isLive: boolean;
  readonly columns: number;
}

/** What a command may know of the world it was called in. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Ends what goes on until it is ended; without one only the end of the process does. */
  readonly signal?: AbortSignal;
}

export function createTerminal(color: ColorMode): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that has seen enough (`| head`) is no fault.
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      throw error;
    });
  }
  return {
    out: outputOf(process.stdout, color),
    err: outputOf(process.stderr, color),
    isLive: process.stderr.isTTY === true && process.env.TERM !== "dumb",
    columns: process.stderr.columns ?? 80,
  };
}

function outputOf(stream: NodeJS.WriteStream, color: ColorMode): Output {
  return {
    write: (text) => {
      stream.write(text);
    },
    paint: (style, text) => {
      if (color === "never") return text;
      // In `auto` styleText looks at the stream and at NO_COLOR, FORCE_COLOR and NODE_DISABLE_COLORS.
      return color === "always"
        ? styleText(style, text, { validateStream: false })
        : styleText(style, text, { stream });
    },
  };
}

/** Somebody else's words, harmless on a terminal: no escape sequences, no control characters, one line. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, " ");
}

/** Columns a text takes, styles not counted. */
export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}
