/** A trace for people: one line an entry, the session in front, decisions set in below the line they were made for. */
import type { TraceEntry } from "../events/trace.ts";
import { type Output, plain, type Style } from "./terminal.ts";

export type ShownEntry = TraceEntry | { readonly kind: "missed"; readonly entries: number };

/** Letters of a session's id that tell it from its neighbours: the last ones, as ids begin with the time. */
const idLetters = 5;
/** Characters of a line that are shown. */
const textLengthMax = 200;

/** Formats entries one after the other; remembers which sessions are ours to a next hop. */
export class TraceFormatter {
  readonly #out: Output;
  readonly #outbound = new Set<string>();

  constructor(out: Output) {
    this.#out = out;
  }

  /** The entry with its line end. */
  format(entry: ShownEntry): string {
    const { paint } = this.#out;
    if (entry.kind === "missed") return `${paint("red", `… ${entry.entries} entries left out: they came too fast`)}\n`;
    const time = paint("dim", new Date(entry.at).toTimeString().slice(0, 8));
    const id = paint("dim", entry.session.slice(-idLetters).padEnd(idLetters));
    return `${time} ${id} ${this.#describe(entry)}\n`;
  }

  #describe(entry: TraceEntry): string {
    const { paint } = this.#out;
    switch (entry.kind) {
      case "opened": {
        const isOut = entry.direction === "out";
        if (isOut) this.#outbound.add(entry.session);
        if (isOut) return paint("bold", `us → ${plain(entry.place)}`);
        const client = `${entry.ip.includes(":") ? `[${entry.ip}]` : entry.ip}:${entry.port}`;
        return paint("bold", `${client} → ${plain(entry.place)}`);
      }
      case "line": {
        const isOut = this.#outbound.has(entry.session);
        // C is whoever began the session, as RFC 5321's own examples have it.
        const isClient = (entry.way === "got") !== isOut;
        return `${paint(isClient ? "cyan" : "green", isClient ? "C:" : "S:")} ${cut(plain(entry.text))}`;
      }
      case "note":
        return paint("dim", `   ${cut(plain(entry.text))}`);
      case "decision":
        return formatDecision(entry, this.#out);
      case "closed":
        this.#outbound.delete(entry.session);
        return paint("bold", `closed: ${plain(entry.reason)}`);
    }
  }
}

/** `   ↳ onRcptTo server/relay-control#onRcptTo: refuse 550 5.7.1 We do not relay` */
export function formatDecision(
  { event, binding, verdict, fault }: TraceEntry & { readonly kind: "decision" },
  { paint }: Output,
): string {
  const style: Style = fault !== null ? "red" : verdict.startsWith("proceed") ? "dim" : "yellow";
  const words = `   ↳ ${event} ${plain(binding)}: ${plain(verdict)}`;
  return paint(style, fault === null ? words : `${words} (${cut(plain(fault))})`);
}

function cut(text: string): string {
  return text.length > textLengthMax ? `${text.slice(0, textLengthMax)}…` : text;
}
