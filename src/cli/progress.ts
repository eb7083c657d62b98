/** How far long work is, on standard error: a line that redraws itself on a terminal, a line every few seconds elsewhere. */
import type { Terminal } from "./terminal.ts";

const redrawMs = 100;
const lineMs = 5_000;
/** Work that is over before this needs no progress. */
const quietMs = 1_000;

export class Progress {
  readonly #terminal: Terminal;
  readonly #what: string;
  readonly #total: number;
  readonly #nowMs: () => number;
  readonly #startedMs: number;
  #shownMs: number;
  #isDrawn = false;

  /** @param what The things that are counted: `messages`. */
  constructor(
    terminal: Terminal,
    options: { readonly what: string; readonly total: number; readonly nowMs?: () => number },
  ) {
    this.#terminal = terminal;
    this.#what = options.what;
    this.#total = options.total;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#startedMs = this.#nowMs();
    this.#shownMs = this.#startedMs;
  }

  update(done: number): void {
    const now = this.#nowMs();
    if (now - this.#startedMs < quietMs || now - this.#shownMs < (this.#terminal.isLive ? redrawMs : lineMs)) return;
    this.#shownMs = now;
    const text = this.#describe(done, now - this.#startedMs);
    if (!this.#terminal.isLive) this.#terminal.err.write(`${text}\n`);
    else {
      this.#isDrawn = true;
      this.#terminal.err.write(`\r\x1b[K${text}`);
    }
  }

  /** Takes the line away, before anything else is written. */
  clear(): void {
    if (this.#isDrawn) this.#terminal.err.write("\r\x1b[K");
    this.#isDrawn = false;
  }

  #describe(done: number, elapsedMs: number): string {
    const counts = `${done} of ${this.#total} ${this.#what}`;
    const leftSeconds = Math.round(((elapsedMs / done) * (this.#total - done)) / 1_000);
    const left = done > 0 ? `, about ${leftSeconds} s left` : "";
    if (!this.#terminal.isLive) return `${counts}${left}`;
    const width = Math.min(30, this.#terminal.columns - counts.length - left.length - 4);
    if (width < 5) return counts;
    const filled = Math.round((width * done) / this.#total);
    return `[${"#".repeat(filled)}${".".repeat(width - filled)}] ${counts}${left}`;
  }
}
