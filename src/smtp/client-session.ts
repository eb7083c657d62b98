/**
 * The client's side of a session, without sockets: commands in, octets out; octets in, replies out, each beside the command it answers. It knows which
 * replies a command can have and in which order they come (RFC 2920 §3.1); what is to be said next, and how long to wait, is decided elsewhere. A server
 * that speaks out of turn has lost its say: what it answers to what is then anybody's guess.
 */
import { type ClientCommand, endOfData, greeting } from "./client-command.ts";
import { type Extensions, noExtensions, readExtensions } from "./client-extensions.ts";
import { type PeerReply, ReplyReader } from "./reply-reader.ts";

export type ClientStep =
  | { readonly kind: "reply"; readonly command: ClientCommand; readonly reply: PeerReply }
  /** 421 that nobody asked for: the server goes. RFC 5321 §3.8. */
  | { readonly kind: "farewell"; readonly reply: PeerReply }
  /** The server broke the protocol; nothing of the session can be used, and nothing follows. */
  | { readonly kind: "violation"; readonly reason: string };

export class ClientSession {
  readonly #replyOctetsMax: number | undefined;
  #reader: ReplyReader;
  /** Commands whose replies are still to come, in order. */
  #outstanding: ClientCommand[] = [greeting];
  #output: string[] = [];
  #broken = false;
  #sendingData = false;
  #extensions: Extensions = noExtensions;

  constructor(replyOctetsMax?: number) {
    this.#replyOctetsMax = replyOctetsMax;
    this.#reader = new ReplyReader(replyOctetsMax);
  }

  /** What the last EHLO announced; empty before, after HELO and after a handshake. */
  get extensions(): Extensions {
    return this.#extensions;
  }

  /** Replies that are owed. */
  get outstanding(): number {
    return this.#outstanding.length;
  }

  /** Between `beginData` and `endData`. */
  get sendingData(): boolean {
    return this.#sendingData;
  }

  /** A command's line goes out; its reply is owed. */
  send(command: ClientCommand): void {
    this.#output.push(command.line, "\r\n");
    this.#outstanding.push(command);
  }

  /**
   * Mail data goes out from now on, and `endData` when it is all out; meanwhile only a refusal makes sense (RFC 5321 §3.3). `replies`: as many as LMTP
   * gives, one for each recipient taken (RFC 2033 §4.2). `line`: BDAT in the place of what ends DATA; it goes out at once.
   */
  beginData({ replies = 1, line }: { readonly replies?: number; readonly line?: string } = {}): void {
    this.#sendingData = true;
    if (line !== undefined) this.#output.push(line, "\r\n");
    const command = line === undefined ? endOfData : { ...endOfData, line, shown: line };
    for (let count = 0; count < replies; count++) this.#outstanding.push(command);
  }

  endData(): void {
    this.#sendingData = false;
  }

  /** What is to be written by now; "" where there is nothing. */
  takeOutput(): string {
    const text = this.#output.join("");
    this.#output = [];
    return text;
  }

  receive(chunk: Buffer): void {
    if (!this.#broken) this.#reader.push(chunk);
  }

  /** The next reply; null where octets are missing. */
  next(): ClientStep | null {
    if (this.#broken) return null;
    const reply = this.#reader.next();
    if (reply === null) return null;
    if (typeof reply === "string") return this.#break(reply);
    const command = this.#outstanding.shift();
    if (command === undefined) {
      if (reply.code === 421) return { kind: "farewell", reply };
      return this.#break(`it said ${reply.code}, and nobody had asked`);
    }
    const objection = this.#objectionTo(command, reply);
    if (objection !== null) return this.#break(objection);
    if (isHello(command.verb)) {
      const extended = command.verb !== "HELO" && reply.code < 300;
      this.#extensions = extended ? readExtensions(reply.lines) : noExtensions;
    }
    return { kind: "reply", command, reply };
  }

  /** A handshake is done: everything the server said before is forgotten. RFC 3207 §4.2. */
  secured(): void {
    this.#reader = new ReplyReader(this.#replyOctetsMax);
    this.#extensions = noExtensions;
  }

  #break(reason: string): ClientStep {
    this.#broken = true;
    return { kind: "violation", reason };
  }

  /** Why this cannot be the reply to that command. */
  #objectionTo({ verb, shown }: ClientCommand, { code }: PeerReply): string | null {
    if (code >= 400) return null;
    if (!isAgreement(verb, code)) return `it answered ${code} to ${shown === "" ? "the connection" : verb}`;
    if (verb === "_EOD" && this.#sendingData) return `it answered ${code} to a message that it has not seen to its end`;
    // What comes in the clear behind 220 would be read as if it came from within. RFC 3207 §6, CVE-2011-0411.
    if (verb === "STARTTLS" && this.#reader.waiting > 0) return "it spoke on between 220 and the handshake";
    return null;
  }
}

export function isHello(verb: string): boolean {
  return verb === "EHLO" || verb === "HELO" || verb === "LHLO";
}

/** Whether a 2yz or 3yz says yes to this command; RFC 5321 §4.3.2 lists which there are. */
function isAgreement(verb: string, code: number): boolean {
  switch (verb) {
    case "":
    case "STARTTLS":
      return code === 220;
    case "DATA":
      return code === 354;
    case "AUTH":
      return code === 235 || code === 334;
    default:
      return code < 300;
  }
}
