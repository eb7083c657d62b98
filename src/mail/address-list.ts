/** Lists of addresses as header fields have them: To, Cc, From and their like. RFC 5322 §3.4. Pure. */
import { Fault } from "../platform/fault.ts";
import { type Mailbox, quoteForLog } from "./mailbox.ts";
import { parseForwardPath } from "./path.ts";

/**
 * The mailboxes of an address list, in their order; display names and comments are dropped, a group stands for its members.
 * A semicolon between addresses parts them like a comma (lenient: programs on Windows write lists so).
 * @param text the field's value, unfolded and not decoded
 * @throws {Fault} `submission.malformed` where something in it is no address
 */
export function parseAddressList(text: string): Mailbox[] {
  const list = new AddressList(text);
  for (let at = 0; at < text.length; ) at = list.take(at);
  return list.finish();
}

class AddressList {
  readonly #text: string;
  readonly #mailboxes: Mailbox[] = [];
  /** What stands outside of angle brackets since the last comma, without comments. */
  #words = "";
  /** What stands inside of them; null where there were none. */
  #address: string | null = null;
  #inAngle = false;

  constructor(text: string) {
    this.#text = text;
  }

  /** Takes what begins at `at`; gives where the next thing begins. */
  take(at: number): number {
    const char = this.#text[at]!;
    switch (char) {
      case "(":
        this.#append(" ");
        return this.#endOfComment(at);
      case '"':
        return this.#takeTo(this.#endOfQuoted(at), at);
      case "[":
        // The colon of an IPv6 literal begins no group.
        return this.#takeTo(this.#endOf("]", at), at);
      case "<":
        if (this.#address !== null) throw this.#malformed("a second <");
        this.#address = "";
        this.#inAngle = true;
        return at + 1;
      case ">":
        if (!this.#inAngle) throw this.#malformed("a > without <");
        this.#inAngle = false;
        return at + 1;
      case ":":
        // Behind the name of a group. A source route has one inside of brackets.
        if (this.#inAngle) this.#append(char);
        else if (this.#address === null && !this.#words.includes("@") && this.#words.trim() !== "") this.#words = "";
        else throw this.#malformed("a colon where no group begins");
        return at + 1;
      case ",":
      case ";":
        if (this.#inAngle && char === ",") this.#append(char);
        else this.#endAddress();
        return at + 1;
      default:
        this.#append(char);
        return at + 1;
    }
  }

  finish(): Mailbox[] {
    this.#endAddress();
    return this.#mailboxes;
  }

  #append(text: string): void {
    if (this.#inAngle) this.#address += text;
    else if (this.#address === null) this.#words += text;
    else if (text.trim() !== "") throw this.#malformed("words behind an address");
  }

  #takeTo(end: number, at: number): number {
    this.#append(this.#text.slice(at, end));
    return end;
  }

  #endAddress(): void {
    if (this.#inAngle) throw this.#malformed("a < without >");
    const written = (this.#address ?? this.#words).trim();
    const wasThere = this.#address !== null;
    this.#words = "";
    this.#address = null;
    // Nothing between two commas is nothing. RFC 5322 §4.4.
    if (written === "" && !wasThere) return;
    try {
      this.#mailboxes.push(parseForwardPath(`<${withoutBlanks(written)}>`));
    } catch (error) {
      if (error instanceof Fault)
        throw new Fault("submission.malformed", `Cannot read the address ${quoteForLog(written)}`, { cause: error });
      throw error;
    }
  }

  #endOfComment(from: number): number {
    let depth = 0;
    for (let at = from; at < this.#text.length; at++) {
      const char = this.#text[at];
      if (char === "\\") at++;
      else if (char === "(") depth++;
      else if (char === ")" && --depth === 0) return at + 1;
    }
    throw this.#malformed("a comment without end");
  }

  #endOfQuoted(from: number): number {
    for (let at = from + 1; at < this.#text.length; at++) {
      if (this.#text[at] === "\\") at++;
      else if (this.#text[at] === '"') return at + 1;
    }
    throw this.#malformed("a quoted string without end");
  }

  #endOf(char: string, from: number): number {
    const at = this.#text.indexOf(char, from);
    if (at === -1) throw this.#malformed(`no ${char}`);
    return at + 1;
  }

  #malformed(what: string): Fault {
    return new Fault("submission.malformed", `Cannot read the addresses ${quoteForLog(this.#text)}: there is ${what}`);
  }
}

/** Blanks may stand around the dots and the at sign, and somebody may write very many. RFC 5322 §4.4. */
function withoutBlanks(address: string): string {
  if (address.startsWith('"')) return address.replace(/(?<=")\s*@\s*/, "@");
  return address.replace(/\s+/g, " ").replace(/ ?([.@]) ?/g, "$1");
}
