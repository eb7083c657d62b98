/** A program behind HTTP for tests, on loopback: it keeps what it is sent and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface HttpRequestSeen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpProgram {
  readonly url: string;
  readonly seen: readonly HttpRequestSeen[];
  /** Connections made so far. */
  readonly connections: number;
  close(): Promise<void>;
}

export type HttpAnswerer = (response: ServerResponse, seen: HttpRequestSeen, request: IncomingMessage) => void;

/** `early`: it answers before it has read anything. */
export async function startHttpProgram(
  answer: HttpAnswerer,
  options: { readonly tls?: { readonly cert: string; readonly key: string }; readonly early?: HttpAnswerer } = {},
): Promise<HttpProgram> {
  const seen: HttpRequestSeen[] = [];
  let connections = 0;
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    const facts = { method: request.method ?? "", url: request.url ?? "", headers: request.headers };
    if (options.early) {
      options.early(response, { ...facts, body: Buffer.alloc(0) }, request);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const one = { ...facts, body: Buffer.concat(chunks) };
    seen.push(one);
    answer(response, one, request);
  };
  const listener = (request: IncomingMessage, response: ServerResponse) => void take(request, response).catch(() => {});
  const server = options.tls ? createSecureServer(options.tls, listener) : createServer(listener);
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${port}/mail`,
    seen,
    get connections() {
      return connections;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
