/**
 * The native engine: our own SMTP sessions (src/smtp) on sockets. It moves octets, keeps time and does what the session's steps ask; every
 * decision is the reception's.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { Handshakes } from "./handshakes.ts";
import { listenFault } from "./listen-fault.ts";
import { type Listener, type ListenerOptions, plainAddress } from "./listener.ts";
import { NativeConnection } from "./native-connection.ts";
import type { Reception } from "./reception.ts";

/** Deadlines are looked at so often: nothing is late by more. */
const sweepMs = 1_000;

/**
 * Starts listening.
 * @throws {Fault} `listen.failed` where the address or port cannot be had, `config.unreadable` where a certificate cannot be used
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
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #handshakes: Handshakes | null;
  readonly #server: Server;
  readonly #connections = new Set<NativeConnection>();
  #sweeping = false;
  #port = 0;

  constructor(
    options: ListenerOptions,
    reception: Reception,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.name = options.name;
    this.address = options.address;
    this.#options = options;
    this.#reception = reception;
    this.#clock = clock;
    this.#log = log;
    this.#handshakes = options.tls ? new Handshakes(options.tls, options.limits.handshakeTimeoutMs) : null;
    this.#handshakes?.onFailure((error) =>
      log.debug("session.error", { listener: options.name, reason: describeThrown(error) }),
    );
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
      const failed = (error: NodeJS.ErrnoException) => reject(listenFault(this.#options, error));
      this.#server.once("error", failed);
      this.#server.listen(this.#options.port, this.#options.address, () => {
        this.#server.off("error", failed);
        // A connection that could not be accepted, for want of descriptors above all, is the client's to try again.
        this.#server.on("error", (error) =>
          this.#log.warn("listener.failed", { listener: this.name, reason: describeThrown(error) }),
        );
        const address = this.#server.address();
        this.#port = address !== null && typeof address === "object" ? address.port : this.#options.port;
        resolve();
      });
    });
  }

  async close(deadlineMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.drain();
    const stop = this.#clock.after(deadlineMs, () => {
      for (const connection of this.#connections) connection.destroy();
    });
    await closed;
    stop();
  }

  #accept(socket: Socket): void {
    const isFull = this.#connections.size >= this.#options.limits.connectionsMax;
    const connection = new NativeConnection(socket, {
      options: this.#options,
      reception: this.#reception,
      clock: this.#clock,
      log: this.#log,
      handshakes: this.#handshakes,
      ip: plainAddress(socket.remoteAddress),
      onClose: (closed) => this.#connections.delete(closed),
    });
    this.#connections.add(connection);
    if (!this.#sweeping) this.#sweepLater();
    connection.start(isFull || this.#reception.overloaded);
  }

  /** One timer for all connections: most deadlines are met, and none is to the second. */
  #sweepLater(): void {
    this.#sweeping = true;
    this.#clock.after(sweepMs, () => {
      const nowMs = this.#clock.monotonicMs();
      for (const connection of this.#connections) connection.check(nowMs);
      if (this.#connections.size > 0) this.#sweepLater();
      else this.#sweeping = false;
    });
  }
}
