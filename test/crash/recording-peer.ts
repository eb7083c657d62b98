/**
 * A next hop for the crash tests: it takes mail and writes it down before it says 250, so that what it said is never forgotten. By the recipient's
 * local part: `gone` is refused for good, `later` is deferred every other time.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Delivered } from "./custody.ts";
import { readMarks } from "./places.ts";

export class RecordingPeer {
  readonly delivered: Delivered[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Mailboxes that are taken the next time. */
  readonly #deferred = new Set<string>();

  #away = false;

  private constructor() {
    this.#server = createServer((socket) => {
      if (this.#away) {
        socket.destroy();
        return;
      }
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      // The server is killed while it talks to us.
      socket.on("error", () => {});
      this.#serve(socket);
    });
  }

  /** @param port 0 takes any free one */
  static async start(port = 0): Promise<RecordingPeer> {
    const peer = new RecordingPeer();
    await new Promise<void>((done) => peer.#server.listen(port, "127.0.0.1", done));
    return peer;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  /** Away it hangs up on everybody, also on who is talking. */
  setAway(away: boolean): void {
    this.#away = away;
    if (away) for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }

  #serve(socket: Socket): void {
    let rest = Buffer.alloc(0);
    let recipients: string[] = [];
    let inData = false;
    const say = (line: string) => socket.write(`${line}\r\n`);
    say("220 peer.example ESMTP");
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        if (inData) {
          const end = rest.indexOf("\r\n.\r\n");
          if (end < 0) return;
          const octets = unstuff(rest.subarray(0, end + 2));
          rest = rest.subarray(end + 5);
          inData = false;
          for (const recipient of recipients)
            this.delivered.push({ place: `peer:${recipient}`, writtenAt: Date.now(), ...readMarks(octets) });
          say("250 2.0.0 taken");
          continue;
        }
        const end = rest.indexOf("\r\n");
        if (end < 0) return;
        const line = rest.toString("latin1", 0, end);
        rest = rest.subarray(end + 2);
        const verb = line.slice(0, 4).toUpperCase();
        if (verb === "EHLO")
          socket.write("250-peer.example\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE\r\n");
        else if (verb === "MAIL" || verb === "RSET") {
          recipients = [];
          say("250 2.1.0 go on");
        } else if (verb === "RCPT") {
          const mailbox = /<(.*)>/.exec(line)?.[1] ?? "";
          if (mailbox.startsWith("gone@")) say("550 5.1.1 nobody here");
          else if (mailbox.startsWith("later@") && !this.#deferred.delete(mailbox)) {
            this.#deferred.add(mailbox);
            say("451 4.3.0 not now");
          } else {
            recipients.push(mailbox);
            say("250 2.1.5 yes");
          }
        } else if (verb === "DATA") {
          if (recipients.length === 0) say("554 5.5.1 for nobody");
          else {
            inData = true;
            say("354 send it");
          }
        } else if (verb === "QUIT") {
          socket.end("221 2.0.0 bye\r\n");
          return;
        } else say("250 2.0.0 well");
      }
    });
  }
}

/** RFC 5321 §4.5.2. */
function unstuff(octets: Buffer): Buffer {
  return Buffer.from(octets.toString("latin1").replaceAll(/^\.(?=.)/gm, ""), "latin1");
}
