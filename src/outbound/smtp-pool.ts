/** Connections to one next hop: used again while they last, never more than the limit, told goodbye when idle. */
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import { PeerConnection } from "./smtp-connection.ts";
import { PeerFailure } from "./smtp-failure.ts";
import type { ConnectionSettings } from "./smtp-opening.ts";

export interface PoolLimits {
  readonly connectionsMax: number;
  /** Transactions on one connection; a peer may want fewer (RFC 9422). */
  readonly transactionsMax: number;
  /** Idle time after which we say QUIT. */
  readonly idleMs: number;
  /** After a connection that could not be made, while no other stands, the next hop is not asked again for so long. */
  readonly downMs: number;
}

export const poolLimits: PoolLimits = { connectionsMax: 10, transactionsMax: 100, idleMs: 5_000, downMs: 10_000 };

interface Wish {
  /** Not one that was used before. */
  readonly fresh?: boolean;
  /** Hears how TLS went, where a connection is made. */
  readonly onTls?: ConnectionSettings["onTls"];
}

/** Why what is under way ends when its signal fires. */
export const timeOver = "the attempt's time is over";

export class SmtpPool {
  readonly #settings: ConnectionSettings;
  readonly #limits: PoolLimits;
  readonly #clock: Clock;
  readonly #open = new Set<PeerConnection>();
  readonly #idle: { readonly connection: PeerConnection; readonly cancel: () => void }[] = [];
  readonly #waiting: (() => void)[] = [];
  #connecting = 0;
  #closed = false;
  #retired = false;
  #down: { readonly until: number; readonly failure: PeerFailure } | undefined;
  /** Called each time the last connection has ended. */
  onEmpty: () => void = () => {};

  constructor(settings: ConnectionSettings, limits: PoolLimits) {
    this.#settings = settings;
    this.#limits = limits;
    this.#clock = settings.clock;
  }

  /** A connection for one transaction; give it back with `release`. @throws {PeerFailure} */
  acquire({ signal, ...wish }: Wish & { readonly signal?: AbortSignal | undefined } = {}): Promise<PeerConnection> {
    const acquired = this.#acquire(wish);
    if (!signal) return acquired;
    return new Promise((resolve, reject) => {
      const stop = () => {
        reject(new PeerFailure(timeOver, { kind: "own" }));
        // What comes all the same is for others.
        acquired.then(
          (connection) => this.release(connection),
          () => {},
        );
      };
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      const settle = () => signal.removeEventListener("abort", stop);
      acquired.then(
        (connection) => {
          settle();
          resolve(connection);
        },
        (error) => {
          settle();
          reject(error);
        },
      );
    });
  }

  async #acquire({ fresh = false, onTls }: Wish): Promise<PeerConnection> {
    for (;;) {
      if (this.#closed) throw new PeerFailure("the server stops", { kind: "own" });
      if (this.#down && this.#clock.monotonicMs() < this.#down.until) throw this.#down.failure;
      const idle = fresh ? undefined : this.#takeIdle();
      if (idle) return idle;
      if (this.#open.size + this.#connecting < this.#limits.connectionsMax || (fresh && this.#dropIdle())) {
        const connection = await this.#connect(onTls);
        if (connection) return connection;
        // Nobody waited while it was tried: what came free then is idle, and wakes nobody.
        if (!fresh && this.#idle.length > 0) continue;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Gives a connection back, whatever became of it. */
  release(connection: PeerConnection): void {
    if (!connection.alive) this.#forget(connection);
    else if (this.#closed) connection.close();
    else if (this.#retired || connection.spent || connection.transactions >= this.#limits.transactionsMax) {
      // Its end gives the place to who waits.
      this.#finish(connection);
    } else this.#keep(connection);
  }

  /** No connection is kept for later any more: the next hop has changed. */
  retire(): void {
    this.#retired = true;
    for (const { connection, cancel } of this.#idle.splice(0)) {
      cancel();
      this.#finish(connection);
    }
  }

  /** Ends every connection now; what is under way fails for now. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#idle.splice(0)) cancel();
    for (const connection of [...this.#open]) connection.close("the server stops");
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Connections that stand or are being made. */
  get size(): number {
    return this.#open.size + this.#connecting;
  }

  /** Connections that wait for mail. */
  get idle(): number {
    return this.#idle.length;
  }

  #keep(connection: PeerConnection): void {
    const cancel = this.#clock.after(this.#limits.idleMs, () => {
      this.#removeIdle(connection);
      this.#finish(connection);
    });
    this.#idle.push({ connection, cancel });
    this.#waiting.shift()?.();
  }

  /** Says goodbye, unless a sink keeps it for another while. */
  #finish(connection: PeerConnection): void {
    void connection
      .finish(() => !this.#closed && !this.#retired && !connection.spent && this.#open.has(connection))
      .then((kept) => {
        if (kept) this.#keep(connection);
      });
  }

  /** A new connection; undefined where none can be made but others stand, so that waiting for one of them makes sense. */
  async #connect(onTls: Wish["onTls"]): Promise<PeerConnection | undefined> {
    this.#connecting += 1;
    try {
      const connection = await PeerConnection.open({ ...this.#settings, onTls });
      this.#down = undefined;
      this.#open.add(connection);
      connection.onEnd = () => this.#forget(connection);
      if (this.#closed) connection.close("the server stops");
      return connection;
    } catch (error) {
      const failure =
        error instanceof PeerFailure ? error : new PeerFailure(describeThrown(error), { kind: "own", cause: error });
      if (this.#open.size > 0) return undefined;
      // What a sink did not want says nothing of the next hop.
      if (failure.kind !== "own") this.#down = { until: this.#clock.monotonicMs() + this.#limits.downMs, failure };
      for (const wake of this.#waiting.splice(0)) wake();
      throw failure;
    } finally {
      this.#connecting -= 1;
      if (this.size === 0) this.onEmpty();
    }
  }

  #takeIdle(): PeerConnection | undefined {
    for (let entry = this.#idle.pop(); entry; entry = this.#idle.pop()) {
      entry.cancel();
      if (entry.connection.alive) return entry.connection;
    }
    return undefined;
  }

  /** Makes a place by giving an idle connection up. */
  #dropIdle(): boolean {
    const entry = this.#idle.shift();
    if (!entry) return false;
    entry.cancel();
    this.#open.delete(entry.connection);
    this.#finish(entry.connection);
    return true;
  }

  #removeIdle(connection: PeerConnection): void {
    const place = this.#idle.findIndex((entry) => entry.connection === connection);
    if (place >= 0) this.#idle.splice(place, 1)[0]!.cancel();
  }

  #forget(connection: PeerConnection): void {
    this.#removeIdle(connection);
    if (!this.#open.delete(connection)) return;
    this.#waiting.shift()?.();
    if (this.size === 0) this.onEmpty();
  }
}
