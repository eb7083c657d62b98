/**
 * A small SMTP client for black-box tests: it sends exactly the octets it is given and answers with whole replies.
 * It never repeats anything by itself: a lost connection is an error, and what it meant is the test's to say.
 */
import { connect, type Socket } from "node:net";

export interface Reply {
  readonly code: number;
  /** The last line's words, behind the code. */
  readonly text: string;
  /** Every line, without line ends. */
  readonly lines: readonly string[];
}

export interface Submission {
  /** "" is the null reverse-path. */
  readonly from: string;
  readonly to: readonly string[];
  /** Header and body with CRLF line ends, without dot-stuffing. */
  readonly data: Buffer;
  /** Behind MAIL's path: `BODY=8BITMIME SMTPUTF8`. */
  readonly mailParameters?: string;
  /** Behind every RCPT's path. */
  readonly rcptParameters?: string;
}

export class SmtpClient {
  readonly #socket: Socket;
  #rest = "";
  #lines: string[] = [];
  #replies: Reply[] = [];
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#take(chunk.toString("latin1")));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("Connection closed")));
  }

  /** A connection whose greeting and EHLO reply were read. @throws {Error} where nobody listens or the server refuses */
  static async connect(port: number, { helo = "client.example", timeoutMs = 20_000 } = {}): Promise<SmtpClient> {
    const socket = connect({ port, host: "127.0.0.1" });
    const client = new SmtpClient(socket);
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`No answer within ${timeoutMs} ms`)));
    expectReply(await client.reply(), 220);
    expectReply(await client.command(`EHLO ${helo}`), 250);
    return client;
  }

  async command(line: string): Promise<Reply> {
    this.#socket.write(`${line}\r\n`, "latin1");
    return await this.reply();
  }

  /**
   * One transaction. Gives the reply to end-of-data, or the first reply that refused earlier.
   * `onDataSent` is called when the final dot was handed to the system: from then on a lost reply leaves the outcome open.
   */
  async send(submission: Submission, onDataSent?: () => void): Promise<Reply> {
    const { mailParameters = "", rcptParameters = "" } = submission;
    const mail = await this.command(`MAIL FROM:<${submission.from}> ${mailParameters}`.trimEnd());
    if (mail.code !== 250) return mail;
    for (const recipient of submission.to) {
      const rcpt = await this.command(`RCPT TO:<${recipient}> ${rcptParameters}`.trimEnd());
      if (rcpt.code !== 250 && rcpt.code !== 251) return rcpt;
    }
    const data = await this.command("DATA");
    if (data.code !== 354) return data;
    this.#socket.write(stuffDots(submission.data));
    this.#socket.write(".\r\n");
    onDataSent?.();
    return await this.reply();
  }

  /** The next reply. @throws {Error} where the connection ends before its last line is complete */
  reply(): Promise<Reply> {
    const ready = this.#replies.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  async quit(): Promise<void> {
    await this.command("QUIT").catch(() => {});
    this.close();
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#rest += text;
    for (let end = this.#rest.indexOf("\r\n"); end >= 0; end = this.#rest.indexOf("\r\n")) {
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 2);
      this.#lines.push(line);
      if (line[3] === "-") continue; // RFC 5321 §4.2.1: more lines of this reply follow
      const reply = { code: Number(line.slice(0, 3)), text: line.slice(4), lines: this.#lines };
      this.#lines = [];
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) this.#replies.push(reply);
      else waiting.resolve(reply);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }
}

/** @throws {Error} with the server's words where the reply has another code */
export function expectReply(reply: Reply, code: number): Reply {
  if (reply.code !== code)
    throw new Error(`Cannot go on: the server answered ${reply.lines.join(" / ")}, expected ${code}`);
  return reply;
}

/** RFC 5321 §4.5.2. The last line gets a line end where it has none. */
export function stuffDots(data: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  if (data[0] === 0x2e) pieces.push(Buffer.from("."));
  for (let at = data.indexOf("\n."); at >= 0; at = data.indexOf("\n.", at + 1)) {
    pieces.push(data.subarray(from, at + 1), Buffer.from("."));
    from = at + 1;
  }
  pieces.push(data.subarray(from));
  if (data.length > 0 && !data.subarray(-2).equals(Buffer.from("\r\n"))) pieces.push(Buffer.from("\r\n"));
  return Buffer.concat(pieces);
}
