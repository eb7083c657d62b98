/**
 * The native engine: our own SMTP sessions (src/smtp) on sockets. It moves octets, keeps time and does what the session's steps ask; every
 * decision is the reception's.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { createSecureContext } from "node:tls";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { listenFault } from "./listen-fault.ts";
import type { Listener, ListenerOptions } from "./listener.ts";
import { NativeConnection } from "./native-connection.ts";
import type { Reception } from "./reception.ts";

/**
 * Starts listening.
 * @throws {Fault} `listen.failed` where the address or port cannot be had, `config.unreadable` where the certificate cannot be used
 */
export async function startNativeListener(
  options: ListenerOptions,
  reception: Reception,
  ports: { readonly clock: Clock; readonly log: Log },
): Promise<Listener> {
  const engine = new NativeEngine(options, reception, ports);
  await engine.listen();
  return engine;
}

class NativeEngine implements Listener {
  readonly name: string;
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #reception: Reception;
  readonly #ports: { readonly clock: Clock; readonly log: Log };
  readonly #secureContext: SecureContext | undefined;
  readonly #server: Server;
  readonly #connections = new Set<NativeConnection>();
  #port = 0;

  constructor(options: ListenerOptions, reception: Reception, ports: { readonly clock: Clock; readonly log: Log }) {
    this.name = options.name;
    this.address = options.address;
    this.#options = options;
    this.#reception = reception;
    this.#ports = ports;
    this.#secureContext = options.tls && createSecureContext({ ...options.tls, minVersion: "TLSv1.2" });
    // Half open: a client may send QUIT and its end in one go, and still wants the replies.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  get port(): number {
    return this.#port;
  }

  get sessions(): number {
    return this.#connections.size;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) => reject(listenFault(this.#options, error)));
      this.#server.listen(this.#options.port, this.#options.address, () => {
        const address = this.#server.address();
        this.#port = address !== null && typeof address === "object" ? address.port : this.#options.port;
        resolve();
      });
    });
  }

  async close(deadlineMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const stop = this.#ports.clock.after(deadlineMs, () => {
      for (const connection of this.#connections) connection.destroy();
    });
    await closed;
    stop();
  }

  #accept(socket: Socket): void {
    const connection = new NativeConnection(socket, {
      options: this.#options,
      reception: this.#reception,
      ...this.#ports,
      secureContext: this.#secureContext,
      isFull: this.#connections.size >= this.#options.limits.connectionsMax,
      onClose: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    connection.start();
  }
}
