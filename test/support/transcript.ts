/**
 * Transcripts: SMTP dialogues as text. One file is one connection, or several in a row.
 *
 *     # A comment. Directives are comments: `# config: sizeOctetsMax=2000 tls=starttls`, `# sink: onMailFrom refuse 550 5.7.1 No`, `# split: every`.
 *     S: 250*                  the next reply, all its lines; `*` stands for any run of characters
 *     S: 250-mx.example.test*  with a hyphen: one line of a reply, the next S: is the next line
 *     C: EHLO client.example   a line is sent, CRLF behind it
 *     C! "a\r\n" | "b" * 3     octets are sent as they are; `|` begins another TCP segment, `* 3` repeats
 *     handshake                TLS begins; with `# config: tls=implicit` each connection begins with it
 *     clock +5m                time moves on, where the clock is fake; also `s` and `ms`
 *     reconnect                the connection is closed and another opened; `disconnect` closes it for good
 *     closed                   the server has closed the connection
 *     spool is empty · spool holds 2 · badmail holds 1 · event onDisconnect closed 1 · log session.closed has "192.0.2.1"
 *     message 1 from <> · message 1 to ann@example.org, bob@example.org · message 1 body is "one\r\n" · message 1 has "Subject: x"
 *     message 1 options {"ret":"HDRS"} · message 1 recipient options [null,{"notify":["never"]}]
 *
 * `# engine: native` or `# engine: library` plays it against that engine alone; a sibling tells what the other one does.
 * With `# split: every`, each octet behind C! is a segment of its own. A reply nobody asked for is an error, at the end too.
 */
import { connect, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { formatMailbox } from "../../src/mail/mailbox.ts";
import { formatReversePath } from "../../src/mail/path.ts";
import type { Subject, SubjectOptions } from "./listener.ts";

/** A server that says nothing for this long has failed the transcript. */
const replyWithinMs = 5_000;
/** An event is told in the same breath as the connection ends. */
const eventWithinMs = 1_000;

export interface Step {
  /** In the file, from 1. */
  readonly line: number;
  readonly text: string;
}

export interface Transcript {
  readonly options: SubjectOptions;
  readonly splitEvery: boolean;
  /** The one engine that holds this dialogue; undefined where all do. */
  readonly engine: string | undefined;
  readonly steps: readonly Step[];
}

/** @throws {Error} where a line is no part of the notation */
export function parseTranscript(source: string): Transcript {
  const steps: Step[] = [];
  const sinks: string[] = [];
  let options: SubjectOptions = {};
  let splitEvery = false;
  let engine: string | undefined;
  for (const [i, text] of source.split("\n").entries()) {
    const line = text.trimEnd();
    const directive = /^# (config|sink|split|engine): (.*)$/.exec(line);
    if (directive?.[1] === "sink") sinks.push(directive[2]!);
    else if (directive?.[1] === "config") options = { ...options, ...readConfig(directive[2]!) };
    else if (directive?.[1] === "engine") engine = directive[2];
    else if (directive?.[1] === "split") splitEvery = directive[2] === "every";
    else if (line !== "" && !line.startsWith("#")) steps.push({ line: i + 1, text: line });
  }
  return { options: { ...options, sinks }, splitEvery, engine, steps };
}

/** Plays a transcript. @throws {Error} at the first line that does not hold, with its number and what was there instead */
export async function playTranscript({ steps, splitEvery }: Transcript, subject: Subject): Promise<void> {
  let connection = await openConnection(subject);
  try {
    for (const step of steps) {
      try {
        if (step.text === "reconnect") {
          await connection.finish();
          connection = await openConnection(subject);
        } else await playStep(step.text, connection, subject, splitEvery);
      } catch (error) {
        throw new Error(
          `line ${step.line}: ${step.text}\n  ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        );
      }
    }
    await connection.finish();
  } finally {
    connection.destroy();
  }
}

async function openConnection(subject: Subject): Promise<Connection> {
  const connection = new Connection(subject.port);
  if (subject.shakesHandsFirst) await connection.shakeHands();
  return connection;
}

async function playStep(text: string, connection: Connection, subject: Subject, splitEvery: boolean): Promise<void> {
  const [, command, rest] = /^(S:|C:|C!|\w+)\s?(.*)$/.exec(text) ?? [];
  switch (command) {
    case "S:":
      return await expectReply(rest!, connection);
    case "C:":
      return await connection.send([Buffer.from(`${rest}\r\n`)]);
    case "C!":
      return await connection.send(readSegments(rest!, splitEvery));
    case "handshake":
      return await connection.shakeHands();
    case "clock":
      return await moveClock(rest!, subject);
    case "log":
      return await expectLog(rest!, subject);
    case "closed":
      return await connection.expectEnd();
    case "disconnect":
      return await connection.finish();
    case "spool":
      return expectCount(rest!, (await subject.accepted()).length);
    case "badmail":
      return expectCount(rest!, await subject.quarantined());
    case "event":
      return await expectEvent(rest!, subject);
    case "message":
      return await expectMessage(rest!, subject);
    default:
      throw new Error("no such step");
  }
}

async function expectReply(pattern: string, connection: Connection): Promise<void> {
  const oneLine = /^\d{3}-/.test(pattern);
  const lines = oneLine ? [await connection.line()] : await connection.reply();
  // A pattern for a whole reply is held against its first line, or against all of them joined.
  const texts = oneLine ? lines : [lines[0]!, lines.join("\n")];
  const expression = globExpression(pattern);
  const wellFormed = lines.every(
    (line) => /^\d{3}(?:[ -][^\r\n]*)?$/.test(line) && line.slice(0, 3) === lines[0]!.slice(0, 3),
  );
  if (!wellFormed || !texts.some((one) => expression.test(one)))
    throw new Error(`the server said ${JSON.stringify(lines)}`);
}

function globExpression(pattern: string): RegExp {
  const pieces = pattern.split("*").map((piece) => piece.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(`^${pieces.join(".*")}$`, "s");
}

function expectCount(rest: string, count: number): void {
  const wanted = rest === "is empty" ? 0 : Number(/^holds (\d+)$/.exec(rest)?.[1]);
  if (!(wanted === count)) throw new Error(`it holds ${count}`);
}

/** Events are told behind the reply, so this waits for a moment. */
async function expectEvent(words: string, subject: Subject): Promise<void> {
  const deadline = performance.now() + eventWithinMs;
  const expression = globExpression(words);
  while (!subject.events.some((event) => expression.test(event))) {
    if (performance.now() > deadline) throw new Error(`told were: ${subject.events.join("; ") || "none"}`);
    await nextTurn();
  }
}

/** As `expectEvent`, for a line of the log. */
async function expectLog(words: string, subject: Subject): Promise<void> {
  const [, event, quoted] = /^(\S+) has (".*")$/.exec(words) ?? [];
  if (event === undefined || quoted === undefined) throw new Error("cannot read what the log should have");
  const wanted = readOctets(quoted).toString();
  const deadline = performance.now() + eventWithinMs;
  while (!subject.log.of(event).some(({ fields }) => JSON.stringify(fields).includes(wanted))) {
    if (performance.now() > deadline) {
      throw new Error(
        `logged was: ${subject.log
          .of(event)
          .map(({ fields }) => JSON.stringify(fields))
          .join("; ")}`,
      );
    }
    await nextTurn();
  }
}

/** In steps no longer than a deadline is late by; the sockets are heard in between. */
async function moveClock(words: string, subject: Subject): Promise<void> {
  const [, amount, unit] = /^\+(\d+)(ms|s|m)$/.exec(words) ?? [];
  if (amount === undefined) throw new Error("cannot read how far time moves");
  const ms = Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[unit as "ms"];
  for (let turn = 0; turn < 10; turn++) await nextTurn();
  await subject.advance(ms);
  for (let turn = 0; turn < 10; turn++) await nextTurn();
}

async function expectMessage(rest: string, subject: Subject): Promise<void> {
  const [, number, what, wanted] =
    /^(\d+) (from|to|options|recipient options|body is|body octets|has|lacks) (.*)$/.exec(rest) ?? [];
  const message = (await subject.accepted())[Number(number) - 1];
  if (!message || wanted === undefined) throw new Error("no such message, or no such question");
  const body = await message.body.octets();
  const whole = Buffer.concat([message.header.octets, message.separator, body]);
  const found: string = {
    from: () => formatReversePath(message.envelope.reversePath),
    to: () => message.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)).join(", "),
    options: () => JSON.stringify(message.envelope.options ?? null),
    "recipient options": () => JSON.stringify(message.envelope.recipients.map(({ options }) => options ?? null)),
    "body is": () => JSON.stringify(body.toString("latin1")),
    "body octets": () => String(body.length),
    has: () => (whole.includes(readOctets(wanted)) ? wanted : JSON.stringify(whole.toString("latin1").slice(0, 2000))),
    lacks: () => (whole.includes(readOctets(wanted)) ? "it is there" : wanted),
  }[what as "from"]();
  const expected = what === "body is" ? JSON.stringify(readOctets(wanted).toString("latin1")) : wanted;
  if (found !== expected) throw new Error(`it is ${found}`);
}

/** `"a" | "b" * 3` as octets to be sent one after the other. */
function readSegments(text: string, splitEvery: boolean): Buffer[] {
  const segments: Buffer[] = [];
  let at = 0;
  let glue = false;
  while (at < text.length) {
    const match = /^\s*("(?:[^"\\]|\\.)*")(?:\s*\*\s*(\d+))?\s*(\|)?/.exec(text.slice(at));
    if (!match) throw new Error(`cannot read ${text.slice(at)}`);
    const octets = readOctets(match[1]!);
    const repeated = Buffer.concat(Array.from({ length: Number(match[2] ?? 1) }, () => octets));
    if (glue) segments.push(Buffer.concat([segments.pop()!, repeated]));
    else segments.push(repeated);
    glue = match[3] === undefined;
    at += match[0].length;
  }
  return splitEvery ? segments.flatMap((segment) => Array.from(segment, (octet) => Buffer.of(octet))) : segments;
}

/** A quoted text as octets: JSON's escapes, `\0` and `\xff` besides; characters beyond ASCII as UTF-8. */
function readOctets(quoted: string): Buffer {
  const chunks: Buffer[] = [];
  for (const piece of quoted.slice(1, -1).split(/(\\x[0-9a-f]{2}|\\0)/i)) {
    if (/^\\x/i.test(piece)) chunks.push(Buffer.of(Number.parseInt(piece.slice(2), 16)));
    else if (piece === "\\0") chunks.push(Buffer.of(0));
    else chunks.push(Buffer.from(JSON.parse(`"${piece}"`) as string));
  }
  return Buffer.concat(chunks);
}

function readConfig(text: string): SubjectOptions {
  return Object.fromEntries(
    text
      .split(/\s+/)
      .map((pair) => pair.split("="))
      .map(([key, value]) => [key, value === "true" ? true : Number.isNaN(Number(value)) ? value : Number(value)]),
  );
}

/** The client's end of one connection. */
class Connection {
  #socket: Socket;
  #received = "";
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#listen();
  }

  /** TLS from here on; what the server still says in the clear is lost. */
  async shakeHands(): Promise<void> {
    const plain = this.#socket;
    for (const event of ["data", "close", "end"]) plain.removeAllListeners(event);
    this.#socket = connectTls({ socket: plain, rejectUnauthorized: false, servername: "localhost" });
    this.#listen();
    await new Promise<void>((resolve, reject) => {
      this.#socket.once("secureConnect", () => resolve());
      this.#socket.once("close", () => reject(new Error("the handshake failed")));
    });
  }

  #listen(): void {
    this.#socket.setEncoding("latin1");
    this.#socket.on("data", (text: string) => this.#take(() => void (this.#received += text)));
    // A reset is an end like others: what matters is what was said before.
    this.#socket.on("error", () => this.#take(() => void (this.#ended = true)));
    this.#socket.on("close", () => this.#take(() => void (this.#ended = true)));
    this.#socket.on("end", () => this.#take(() => void (this.#ended = true)));
  }

  async send(segments: readonly Buffer[]): Promise<void> {
    for (const segment of segments) {
      await new Promise<void>((resolve) => this.#socket.write(segment, () => resolve()));
      // Server and client share this process: after some turns of its loop the server has read the segment as one of its own.
      if (segments.length > 1) for (let turn = 0; turn < 3; turn++) await nextTurn();
    }
  }

  async line(): Promise<string> {
    while (!this.#received.includes("\r\n")) {
      if (this.#ended)
        throw new Error(`the connection ended${this.#received ? ` behind ${JSON.stringify(this.#received)}` : ""}`);
      await this.#more("the server said nothing");
    }
    const end = this.#received.indexOf("\r\n");
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 2);
    return line;
  }

  async reply(): Promise<string[]> {
    const lines = [await this.line()];
    while (/^\d{3}-/.test(lines.at(-1)!)) lines.push(await this.line());
    return lines;
  }

  async expectEnd(): Promise<void> {
    while (!this.#ended) await this.#more("the server did not close the connection");
    this.#expectNothingMore();
  }

  /** Ends our side; whatever the server still says is an error. */
  async finish(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    this.#expectNothingMore();
    this.#socket.end();
    while (!this.#ended) await this.#more("the server did not let the connection end");
    this.#expectNothingMore();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #expectNothingMore(): void {
    if (this.#received !== "") throw new Error(`the server said besides: ${JSON.stringify(this.#received)}`);
  }

  #take(change: () => void): void {
    change();
    this.#wake?.();
  }

  async #more(otherwise: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${otherwise} within ${replyWithinMs} ms`)), replyWithinMs);
    });
    const wake = new Promise<void>((resolve) => void (this.#wake = resolve));
    try {
      await Promise.race([wake, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }
}
