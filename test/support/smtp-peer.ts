/** Servers for our client to talk to, on loopback: one that behaves (smtp-server), and one that says exactly what a test tells it to. */
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";

interface Received {
  readonly from: string;
  readonly to: readonly string[];
  readonly data: Buffer;
  readonly secure: boolean;
  readonly user: string | null;
}

export interface Peer {
  readonly port: number;
  readonly received: readonly Received[];
  /** Connections made so far. */
  readonly connections: number;
  /** Connections that stand. */
  readonly open: number;
  /** Most connections at one time. */
  readonly connectionsAtOnce: number;
  close(): Promise<void>;
}

/** A server that takes everything, but for what `options` refuse. Data arrive with their dots removed. */
export async function startPeer(options: SMTPServerOptions = {}): Promise<Peer> {
  const received: Received[] = [];
  let connections = 0;
  let open = 0;
  let connectionsAtOnce = 0;
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onConnect(_session, callback) {
      connections += 1;
      open += 1;
      connectionsAtOnce = Math.max(connectionsAtOnce, open);
      callback();
    },
    onClose() {
      open -= 1;
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        received.push({
          from: session.envelope.mailFrom ? session.envelope.mailFrom.address : "",
          to: session.envelope.rcptTo.map(({ address }) => address),
          data: Buffer.concat(chunks),
          secure: session.secure === true,
          user: session.user ? String(session.user) : null,
        });
        callback(null);
      });
    },
    logger: false,
    ...options,
  });
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    received,
    get connections() {
      return connections;
    },
    get open() {
      return open;
    },
    get connectionsAtOnce() {
      return connectionsAtOnce;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

export interface ScriptedPeer {
  readonly port: number;
  /** Every line it heard, of all connections, mail data not included but for the dot that ends it. */
  readonly lines: readonly string[];
  /** What came in one piece, as text: to see what was pipelined. */
  readonly packets: readonly string[];
  /** Messages as they came: by DATA with dots stuffed and the end, by BDAT as they were. */
  readonly messages: readonly Buffer[];
  readonly connections: number;
  close(): Promise<void>;
}

export interface PeerState {
  readonly connection: number;
  readonly inData: boolean;
  readonly secure: boolean;
  /** Of the connection itself, also where there is TLS on it. */
  readonly socket: Socket;
  /** Writes octets as they are. */
  write(octets: string | Buffer): void;
  /** Mail data follows, where 354 was not given back as the answer to DATA. */
  beginData(): void;
  /** TLS from here on; say 220 first. */
  startTls(certificate: { readonly key: string; readonly cert: string }): void;
}

/** What it answers to a line: text to write (without the last CRLF), or what to do with the socket. Undefined: nothing. */
export type Answer = (line: string, state: PeerState) => string | undefined;

/**
 * A server that answers each line as told. The line "" is the connection itself. Lines of mail data are only told when it is "."; the octets behind BDAT are
 * swallowed before its line is told. Its port is 0 where `place` is the path of a socket.
 */
export async function startScriptedPeer(answer: Answer, place: ListenOptions = {}): Promise<ScriptedPeer> {
  const peer = { lines: [] as string[], packets: [] as string[], messages: [] as Buffer[], connections: 0 };
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    // Each reply is written by itself; none is to wait for the one before to be acknowledged.
    socket.setNoDelay(true);
    converse(socket, answer, peer, peer.connections++);
  });
  const where = place.path === undefined ? { port: 0, host: "127.0.0.1", ...place } : place;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
  const address = server.address();
  if (address === null) throw new Error("no port");
  return Object.assign(peer, {
    port: typeof address === "string" ? 0 : address.port,
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  });
}

function converse(
  raw: Socket,
  answer: Answer,
  peer: { readonly lines: string[]; readonly packets: string[]; readonly messages: Buffer[] },
  connection: number,
): void {
  let socket = raw;
  let inData = false;
  let rest = Buffer.alloc(0);
  let data: Buffer[] = [];
  const state: PeerState = {
    connection,
    socket: raw,
    get inData() {
      return inData;
    },
    get secure() {
      return socket !== raw;
    },
    write(octets) {
      if (!socket.destroyed) socket.write(octets);
    },
    beginData() {
      inData = true;
    },
    startTls(certificate) {
      raw.removeListener("data", hear);
      rest = Buffer.alloc(0);
      socket = new TLSSocket(raw, { isServer: true, ...certificate });
      socket.on("error", () => {});
      socket.on("data", hear);
    },
  };
  const say = (line: string) => {
    const reply = answer(line, state);
    if (reply !== undefined) state.write(`${reply}\r\n`);
    if (line === "DATA") inData ||= reply?.startsWith("354") ?? false;
  };
  /** Takes one line, or one message, from the front; false where it is not all there. */
  const take = (): boolean => {
    if (inData) {
      const end =
        rest.subarray(0, 3).equals(Buffer.from(".\r\n")) && data.length === 0 ? 0 : rest.indexOf("\r\n.\r\n") + 2;
      if (end === 1) return false;
      peer.messages.push(Buffer.from(rest.subarray(0, end + 3)));
      rest = rest.subarray(end + 3);
      inData = false;
      peer.lines.push(".");
      say(".");
      return true;
    }
    const end = rest.indexOf("\r\n");
    if (end === -1) return false;
    const line = rest.subarray(0, end).toString("utf8");
    const chunk = /^BDAT (\d+)/i.exec(line);
    const behind = end + 2 + Number(chunk?.[1] ?? 0);
    if (rest.length < behind) return false;
    if (chunk) {
      data.push(Buffer.from(rest.subarray(end + 2, behind)));
      if (line.endsWith("LAST")) {
        peer.messages.push(Buffer.concat(data));
        data = [];
      }
    }
    rest = rest.subarray(behind);
    peer.lines.push(line);
    say(line);
    return true;
  };
  const hear = (chunk: Buffer) => {
    peer.packets.push(chunk.toString("latin1"));
    rest = Buffer.concat([rest, chunk]);
    while (take());
  };
  say("");
  raw.on("data", hear);
}

/** A peer that agrees to everything, for a script to differ from. */
export function agree(line: string, extensions: readonly string[] = []): string {
  if (line === "") return "220 peer.example";
  if (line.startsWith("EHLO"))
    return ["peer.example", ...extensions]
      .map((text, place, all) => `250${place === all.length - 1 ? " " : "-"}${text}`)
      .join("\r\n");
  if (line === "DATA") return "354 go on";
  if (line === "QUIT") return "221 2.0.0 bye";
  return "250 2.0.0 fine";
}
