/** Servers for our client to talk to, on loopback: one that behaves (smtp-server), and one that says exactly what a test tells it to. */
import { createServer, type Server, type Socket } from "node:net";
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
    get connectionsAtOnce() {
      return connectionsAtOnce;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

export interface ScriptedPeer {
  readonly port: number;
  /** Every line it heard, of all connections. */
  readonly lines: readonly string[];
  readonly connections: number;
  close(): Promise<void>;
}

/** What it answers to a line: text to write (without the last CRLF), or what to do with the socket. Undefined: nothing. */
export type Answer = (
  line: string,
  state: { readonly connection: number; readonly inData: boolean; readonly socket: Socket },
) => string | undefined;

/** A server that answers each line as told. The line "" is the connection itself. Lines of mail data are only told when it is ".". */
export async function startScriptedPeer(answer: Answer): Promise<ScriptedPeer> {
  const lines: string[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer((socket) => {
    const connection = connections++;
    let inData = false;
    let rest = "";
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    const say = (line: string) => {
      const reply = answer(line, { connection, inData, socket });
      if (reply === undefined || socket.destroyed) return;
      socket.write(`${reply}\r\n`);
      if (line === "DATA") inData = reply.startsWith("354");
      if (line === ".") inData = false;
    };
    say("");
    socket.on("data", (chunk: Buffer) => {
      rest += chunk.toString("latin1");
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        lines.push(line);
        if (!inData || line === ".") say(line);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    port: address.port,
    lines,
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
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
