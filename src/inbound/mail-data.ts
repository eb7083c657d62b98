/**
 * Mail data on its way in: checks its octets, parts header from body while it arrives, and hands the body on to the spool.
 * Nothing with a bare CR, a bare LF or a NUL leaves here, but for a BINARYMIME body, whose octets are anything. RFC 5321 §2.3.8,
 * RFC 5322 §2.2, RFC 3030 §3.
 */
import { type Header, splitMessage } from "../mail/header.ts";
import { type Body, inlineBody } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import type { BodyWriter } from "../spool/spool.ts";
import type { Answer } from "./answer.ts";
import { type Eventual, whenHere } from "./eventual.ts";

export interface MailDataLimits {
  readonly sizeOctetsMax: number;
  readonly headerOctetsMax: number;
  /** "normalize" makes CRLF of bare CRs and LFs; a NUL is refused all the same. */
  readonly lineEnds: "refuse" | "normalize";
  /** The body may hold any octets, in no lines. */
  readonly binary: boolean;
}

/** What is wanted of a message whose header is here: all of it, its header alone, or nothing, with the reply to say at its end. */
export type HeaderChoice = "keep" | "drop-body" | Answer;
export type AskHeaders = (header: Header) => Eventual<HeaderChoice>;
/** Asked where more octets came than are taken: how many this message may have, or the reply to say at its end. */
export type AskOversize = (sizeOctets: number) => Eventual<number | Answer>;

/** Who is asked while the data comes, each of them once. */
export interface MailDataAsks {
  /** The moment the header section is here. */
  readonly askHeaders?: AskHeaders | null;
  /** The moment the limit is passed; without it that is the end. */
  readonly askOversize?: AskOversize | null;
}

/** Octets of the header section. */
export const headerOctetsMax = 256 * 1024;

export interface ReceivedMail {
  readonly header: Header;
  readonly separator: Buffer;
  readonly body: Body;
}

const emptyLine = Buffer.from("\r\n\r\n");
const cr = 0x0d;
const lf = 0x0a;

export class MailDataReceiver {
  readonly #writer: BodyWriter;
  readonly #limits: MailDataLimits;
  /** Octets up to the end of the header section, then undefined. */
  #head: Buffer | undefined = Buffer.alloc(0);
  /** What `#head` is the begin of, with room for more where we made it: a header in many pieces is not copied for each. */
  #room: Buffer = Buffer.alloc(0);
  #parted: { readonly header: Header; readonly separator: Buffer } | undefined;
  #sizeOctets = 0;
  #sizeOctetsMax: number;
  #lastOctet = 0;
  #fault: Fault | undefined;
  readonly #askHeaders: AskHeaders | null;
  #askOversize: AskOversize | null;
  #asking = false;
  #refusal: Answer | null = null;
  #bodyDropped = false;

  constructor(
    writer: BodyWriter,
    limits: MailDataLimits,
    { askHeaders = null, askOversize = null }: MailDataAsks = {},
  ) {
    this.#writer = writer;
    this.#limits = limits;
    this.#sizeOctetsMax = limits.sizeOctetsMax;
    this.#askHeaders = askHeaders;
    this.#askOversize = askOversize;
  }

  /** What is wrong with the data so far; the rest is swallowed without being kept. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** What was said of the header against it; the rest is swallowed without being kept. */
  get refusal(): Answer | null {
    return this.#refusal;
  }

  /** Whether somebody is asked about the message right now. */
  get asking(): boolean {
    return this.#asking;
  }

  /** Octets that came so far. */
  get sizeOctets(): number {
    return this.#sizeOctets;
  }

  /** Takes the next octets. Resolves when more may come; undefined where it may at once. Never throws: see `fault`. */
  write(chunk: Buffer): Promise<void> | undefined {
    this.#sizeOctets += chunk.length;
    if (this.#fault || this.#refusal) return undefined;
    return this.#sizeOctets > this.#sizeOctetsMax ? this.#exceed(chunk) : this.#check(chunk);
  }

  /** Swallows the rest without keeping it: the end of the data is answered so. */
  refuse(answer: Answer): void {
    this.#asking = false;
    this.#refusal = answer;
    this.#head = undefined;
    void this.#writer.discard();
  }

  /**
   * All octets are here. Gives the refusal where the header met with one.
   * @throws {Fault} `message.too-large`, `message.nul`, `message.bare-line-end`, `message.header-too-large`, `spool.full`, `spool.failed`;
   * then nothing of it is kept
   */
  async finish(): Promise<ReceivedMail | Answer> {
    if (this.#refusal) return this.#refusal;
    try {
      if (!this.#fault && this.#lastOctet === cr && !this.#limits.binary) {
        if (this.#limits.lineEnds === "refuse")
          this.#fault = new Fault(
            "message.bare-line-end",
            "Cannot take the message: it ends with a CR that stands alone",
          );
        else await this.#keep(Buffer.from([lf]));
      }
      if (!this.#fault && this.#head) await this.#part(this.#head);
      if (this.#fault) throw this.#fault;
      if (this.#refusal) return this.#refusal;
      const { header, separator } = this.#parted!;
      if (!this.#bodyDropped) return { header, separator, body: await this.#writer.finish() };
      await this.#writer.discard();
      return { header, separator, body: inlineBody(Buffer.alloc(0)) };
    } catch (error) {
      await this.#writer.discard();
      throw error;
    }
  }

  async abort(): Promise<void> {
    await this.#writer.discard();
  }

  /** More came than is taken; `chunk` is kept where this message may have it. */
  #exceed(chunk: Buffer): Promise<void> | undefined {
    const ask = this.#askOversize;
    this.#askOversize = null;
    if (ask === null) return this.#failTooLarge();
    this.#asking = true;
    const written = whenHere(ask(this.#sizeOctets), (choice): Eventual<void> => {
      // Whoever waited may have given up.
      if (!this.#asking) return;
      this.#asking = false;
      if (typeof choice !== "number") return this.refuse(choice);
      this.#sizeOctetsMax = choice;
      return this.#sizeOctets > choice ? this.#failTooLarge() : this.#check(chunk);
    });
    return written instanceof Promise ? written : undefined;
  }

  #failTooLarge(): undefined {
    return this.#fail(
      new Fault("message.too-large", `Cannot take the message: more than ${this.#sizeOctetsMax} octets`),
    );
  }

  #check(chunk: Buffer): Promise<void> | undefined {
    if (this.#limits.binary) return this.#keep(chunk);
    if (chunk.includes(0)) return this.#fail(new Fault("message.nul", "Cannot take the message: it holds a NUL"));
    let data = chunk;
    if (hasBareLineEnd(chunk, this.#lastOctet)) {
      if (this.#limits.lineEnds === "refuse") {
        return this.#fail(
          new Fault("message.bare-line-end", "Cannot take the message: it holds a CR or LF that stands alone"),
        );
      }
      data = normalizeLineEnds(chunk, this.#lastOctet);
    }
    this.#lastOctet = chunk[chunk.length - 1] ?? this.#lastOctet;
    return this.#keep(data);
  }

  #keep(data: Buffer): Promise<void> | undefined {
    if (this.#head === undefined) return this.#writeBody(data);
    const searchFrom = Math.max(0, this.#head.length - emptyLine.length + 1);
    const head = this.#append(this.#head, data);
    const end = head.length >= 2 && head[0] === cr && head[1] === lf ? 0 : endOfHeader(head, searchFrom);
    if (end === -1) {
      if (head.length > this.#limits.headerOctetsMax) {
        return this.#fail(
          new Fault(
            "message.header-too-large",
            `Cannot take the message: its header is longer than ${this.#limits.headerOctetsMax} octets`,
          ),
        );
      }
      this.#head = head;
      return undefined;
    }
    if (end > this.#limits.headerOctetsMax) {
      return this.#fail(
        new Fault(
          "message.header-too-large",
          `Cannot take the message: its header is longer than ${this.#limits.headerOctetsMax} octets`,
        ),
      );
    }
    return this.#part(head);
  }

  #append(head: Buffer, data: Buffer): Buffer {
    if (head.length === 0) return (this.#room = data);
    const length = head.length + data.length;
    if (length > this.#room.length) {
      this.#room = Buffer.allocUnsafe(2 * length);
      head.copy(this.#room);
    }
    data.copy(this.#room, head.length);
    return this.#room.subarray(0, length);
  }

  #part(head: Buffer): Promise<void> | undefined {
    this.#head = undefined;
    const { header, separator, body } = splitMessage(head);
    // The header is lines whatever the body is. RFC 3030 §3.
    if (this.#limits.binary && (header.octets.includes(0) || hasBareLineEnd(header.octets, 0))) {
      return this.#fail(new Fault("message.bare-line-end", "Cannot take the message: its header is not made of lines"));
    }
    this.#parted = { header, separator };
    if (this.#askHeaders === null) return this.#writeBody(body);
    this.#asking = true;
    const written = whenHere(this.#askHeaders(header), (choice) => this.#chosen(choice, body));
    return written instanceof Promise ? written : undefined;
  }

  #chosen(choice: HeaderChoice, body: Buffer): Eventual<void> {
    // Whoever waited may have given up.
    if (!this.#asking) return;
    this.#asking = false;
    if (choice === "keep") return this.#writeBody(body);
    if (choice === "drop-body") this.#bodyDropped = true;
    else this.refuse(choice);
  }

  #writeBody(data: Buffer): Promise<void> | undefined {
    if (this.#bodyDropped || data.length === 0) return undefined;
    try {
      return this.#writer.write(data)?.catch((error: unknown) => {
        this.#fault = asSpoolFault(error);
      });
    } catch (error) {
      return this.#fail(asSpoolFault(error));
    }
  }

  #fail(fault: Fault): undefined {
    this.#fault = fault;
    this.#head = undefined;
    return undefined;
  }
}

function endOfHeader(octets: Buffer, from: number): number {
  return octets.indexOf(emptyLine, from);
}

function asSpoolFault(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault("spool.failed", "Cannot keep the message", { cause: error });
}

/** Whether a CR or LF stands alone; a CR at the very end is judged with the next octets. */
function hasBareLineEnd(chunk: Buffer, before: number): boolean {
  if (before === cr && chunk.length > 0 && chunk[0] !== lf) return true;
  for (let at = chunk.indexOf(lf); at !== -1; at = chunk.indexOf(lf, at + 1)) {
    if ((at === 0 ? before : chunk[at - 1]) !== cr) return true;
  }
  for (let at = chunk.indexOf(cr); at !== -1; at = chunk.indexOf(cr, at + 1)) {
    if (at + 1 < chunk.length && chunk[at + 1] !== lf) return true;
  }
  return false;
}

/** Every line end as CRLF; a CR at the very end waits for the next octets. */
function normalizeLineEnds(chunk: Buffer, before: number): Buffer {
  // At most one octet more for each: a chunk of nothing but line ends.
  const octets = Buffer.allocUnsafe(2 * chunk.length + 1);
  let length = 0;
  let previous = before;
  for (const octet of chunk) {
    if (previous === cr && octet !== lf) octets[length++] = lf;
    if (octet === lf && previous !== cr) octets[length++] = cr;
    octets[length++] = octet;
    previous = octet;
  }
  return octets.subarray(0, length);
}
