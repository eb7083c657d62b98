/** A terminal that keeps what was written, without colours unless asked. */
import type { CommandContext, Output, Style } from "../../src/cli/terminal.ts";

export interface RecordedTerminal extends CommandContext {
  readonly outText: () => string;
  readonly errText: () => string;
}

export const plainOutput: Output = { write() {}, paint: (_style, text) => text };

/** Styles as tags, so that a test can see them: `<red>x</red>`. */
export const taggedOutput: Output = { write() {}, paint: (style: Style, text) => `<${style}>${text}</${style}>` };

export function recordTerminal(
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly isLive?: boolean } = {},
): RecordedTerminal {
  const texts = { out: "", err: "" };
  const output = (name: "out" | "err"): Output => ({
    write: (text) => {
      texts[name] += text;
    },
    paint: (_style, text) => text,
  });
  return {
    terminal: { out: output("out"), err: output("err"), isLive: options.isLive ?? false, columns: 80 },
    env: options.env ?? {},
    cwd: options.cwd ?? process.cwd(),
    outText: () => texts.out,
    errText: () => texts.err,
  };
}
