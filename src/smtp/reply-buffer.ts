/** Replies on their way to the client: gathered, so that those to pipelined commands leave in one piece. RFC 5321 §4.2, RFC 2920 §3.2. */
import { formatReply, type Reply } from "../mail/status.ts";

const crlf = "\r\n";

export class ReplyBuffer {
  #lines: string[] = [];

  say(reply: Reply): void {
    this.#lines.push(formatReply(reply), crlf);
  }

  write(code: number, text: string): void {
    this.#lines.push(`${code} ${text}${crlf}`);
  }

  /** A reply of several lines. RFC 5321 §4.2.1. */
  writeLines(code: number, lines: readonly string[]): void {
    for (const [i, line] of lines.entries())
      this.#lines.push(`${code}${i < lines.length - 1 ? "-" : " "}${line}${crlf}`);
  }

  /** All of it; "" where there is nothing. */
  take(): string {
    if (this.#lines.length === 0) return "";
    const text = this.#lines.join("");
    this.#lines = [];
    return text;
  }
}
