/**
 * A TCP relay on a loopback port that keeps what both sides say: the proof of what a client sent and a server answered, octet by octet, without
 * asking either. Where it leads may be changed between connections.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** One connection. */
export class TappedSession {
  /** What came together, in order, from either side. */
  readonly pieces: { readonly from: "client" | "server"; readonly octets: Buffer }[] = [];

  get client(): string {
    return this.#said("client");
  }
  get server(): string {
    return this.#said("server");
  }

  /** Whether two commands came in one piece: the second did not wait for the first one's reply. RFC 2920. */
  pipelined(first: RegExp, second: RegExp): boolean {
    return this.pieces.some(({ from, octets }) => {
      if (from !== "client") return false;
      const text = octets.toString("latin1");
      const at = text.search(first);
      return at >= 0 && second.test(text.slice(at));
    });
  }

  /** For people: what both said, long pieces cut. */
  transcript(): string {
    return this.pieces
      .flatMap(({ from, octets }) =>
        octets
          .subarray(0, 2_000)
          .toString("latin1")
          .trimEnd()
          .split("\r\n")
          .map((line) => `${from === "client" ? "C" : "S"}: ${line}`),
      )
      .join("\n");
  }

  #said(side: "client" | "server"): string {
    return Buffer.concat(this.pieces.filter(({ from }) => from === side).map(({ octets }) => octets)).toString(
      "latin1",
    );
  }
}

export class WireTap {
  /** Port of the loopback address the next connections are led to. */
  target: number;
  sessions: TappedSession[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.target = target;
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#lead(client));
  }

  static async to(target: number): Promise<WireTap> {
    const tap = new WireTap(target);
    await new Promise<void>((done, reject) => {
      tap.#server.once("error", reject);
      tap.#server.listen(0, "127.0.0.1", done);
    });
    return tap;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port; // A TCP listener has an address with a port.
  }

  /** Leads what comes from now on to another port: connections there are are closed, sessions so far forgotten. */
  leadTo(target: number): void {
    for (const socket of this.#sockets) socket.destroy();
    this.target = target;
    this.sessions = [];
  }

  /** Those in which the client said anything at all. @throws {Error} where there is none */
  get used(): readonly TappedSession[] {
    const used = this.sessions.filter(({ client }) => client !== "");
    if (used.length === 0) throw new Error("Cannot tell what was said: nobody has used the tap since it was led here");
    return used;
  }

  /** The session in which the client said this. @throws {Error} with all transcripts where there is none */
  sessionWith(said: RegExp | string): TappedSession {
    const found = this.sessions.find(({ client }) =>
      typeof said === "string" ? client.includes(said) : said.test(client),
    );
    if (found === undefined)
      throw new Error(
        `Cannot find a session with ${said}; those there were:\n${this.sessions.map((one) => one.transcript()).join("\n--\n")}`,
      );
    return found;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  #lead(client: Socket): void {
    const server = connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true });
    const session = new TappedSession();
    this.sessions.push(session);
    for (const [from, to, side] of [
      [client, server, "client"],
      [server, client, "server"],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (octets: Buffer) => {
        session.pieces.push({ from: side, octets });
        to.write(octets);
      });
      from.on("end", () => to.end());
      from.on("error", () => to.destroy()); // The other side sees a connection that ends, as it would without us.
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroySoon();
      });
    }
  }
}
