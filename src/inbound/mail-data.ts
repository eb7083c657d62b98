/**
 * Mail data on its way in: checks its octets, parts header from body while it arrives, and hands the body on to the spool.
 * Nothing with a bare CR, a bare LF or a NUL leaves here. RFC 5321 §2.3.8, RFC 5322 §2.2.
 */
import { type Header, splitMessage } from "../mail/header.ts";
import type { Body } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import type { BodyWriter } from "../spool/spool.ts";

export interface MailDataLimits {
  readonly sizeOctetsMax: number;
  readonly headerOctetsMax: number;
  /** "normalize" makes CRLF of bare CRs and LFs; a NUL is refused all the same. */
  readonly lineEnds: "refuse" | "normalize";
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
  #lastOctet = 0;
  #fault: Fault | undefined;

  constructor(writer: BodyWriter, limits: MailDataLimits) {
    this.#writer = writer;
    this.#limits = limits;
  }

  /** What is wrong with the data so far; the rest is swallowed without being kept. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** Takes the next octets. Resolves when more may come; undefined where it may at once. Never throws: see `fault`. */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#fault) return undefined;
    this.#sizeOctets += chunk.length;
    if (this.#sizeOctets > this.#limits.sizeOctetsMax) {
      return this.#fail(
        new Fault("message.too-large", `Cannot take the message: more than ${this.#limits.sizeOctetsMax} octets`),
      );
    }
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

  /**
   * All octets are here.
   * @throws {Fault} `message.too-large`, `message.nul`, `message.bare-line-end`, `message.header-too-large`, `spool.full`, `spool.failed`;
   * then nothing of it is kept
   */
  async finish(): Promise<ReceivedMail> {
    try {
      if (!this.#fault && this.#lastOctet === cr) {
        if (this.#limits.lineEnds === "refuse")
          this.#fault = new Fault(
            "message.bare-line-end",
            "Cannot take the message: it ends with a CR that stands alone",
          );
        else await this.#keep(Buffer.from([lf]));
      }
      if (!this.#fault && this.#head) await this.#part(this.#head);
      if (this.#fault) throw this.#fault;
      return { ...this.#parted!, body: await this.#writer.finish() };
    } catch (error) {
      await this.#writer.discard();
      throw error;
    }
  }

  async abort(): Promise<void> {
    await this.#writer.discard();
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
    this.#parted = { header, separator };
    return body.length > 0 ? this.#writeBody(body) : undefined;
  }

  #writeBody(data: Buffer): Promise<void> | undefined {
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

function normalizeLineEnds(chunk: Buffer, before: number): Buffer {
  const octets: number[] = [];
  let previous = before;
  for (const octet of chunk) {
    if (previous === cr && octet !== lf) octets.push(lf);
    if (octet === lf && previous !== cr) octets.push(cr);
    octets.push(octet);
    previous = octet;
  }
  return Buffer.from(octets);
}
