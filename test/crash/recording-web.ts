/** A program that takes mail by HTTP for the crash tests: it writes a message down before it answers 200. */
import { createServer, type Server } from "node:http";
import type { Delivered } from "./custody.ts";
import { readMarks } from "./places.ts";

export class RecordingWeb {
  readonly delivered: Delivered[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        this.delivered.push({ place: "web", writtenAt: Date.now(), ...readMarks(Buffer.concat(chunks)) });
        response.end("taken\n");
      });
      // The server is killed while it talks to us.
      request.on("error", () => {});
    });
  }

  static async start(): Promise<RecordingWeb> {
    const web = new RecordingWeb();
    await new Promise<void>((done) => web.#server.listen(0, "127.0.0.1", done));
    return web;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }
}
