/** Connections to one next hop: used again while they last, never more than the limit, told goodbye when idle. */
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import { type ConnectionSettings, PeerConnection, PeerFailure } from "./smtp-connection.ts";

export interface PoolLimits {
  readonly connectionsMax: number;
  /** Transactions on one connection. */
  readonly transactionsMax: number;
  /** Idle time after which we say QUIT. */
  readonly idleMs: number;
  /** After a connection that could not be made, while no other stands, the next hop is not asked again for so long. */
  readonly downMs: number;
}

export const poolLimits: PoolLimits = { connectionsMax: 10, transactionsMax: 100, idleMs: 5_000, downMs: 10_000 };

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

  constructor(settings: ConnectionSettings, limits: PoolLimits) {
    this.#settings = settings;
    this.#limits = limits;
    this.#clock = settings.clock;
  }

  /** A connection for one transaction; give it back with `release`. `fresh`: not one that was used before. @throws {PeerFailure} */
  async acquire(fresh = false): Promise<PeerConnection> {
    for (;;) {
      if (this.#closed) throw new PeerFailure("the server stops", { stage: "session" });
      if (this.#down && this.#clock.monotonicMs() < this.#down.until) throw this.#down.failure;
      const idle = fresh ? undefined : this.#takeIdle();
      if (idle) return idle;
      if (this.#open.size + this.#connecting < this.#limits.connectionsMax || (fresh && this.#dropIdle())) {
        const connection = await this.#connect();
        if (connection) return connection;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Gives a connection back, whatever became of it. */
  release(connection: PeerConnection): void {
    if (!connection.alive || this.#closed || this.#retired || connection.transactions >= this.#limits.transactionsMax) {
      // Its end gives the place to who waits.
      connection.quit();
      if (!connection.alive) this.#forget(connection);
      return;
    }
    const cancel = this.#clock.after(this.#limits.idleMs, () => {
      this.#removeIdle(connection);
      connection.quit();
    });
    this.#idle.push({ connection, cancel });
    this.#waiting.shift()?.();
  }

  /** No connection is kept for later any more: the next hop has changed. */
  retire(): void {
    this.#retired = true;
    for (const { connection, cancel } of this.#idle.splice(0)) {
      cancel();
      connection.quit();
    }
  }

  /** Ends every connection now; what is under way fails for now. */
  close(): void {
    this.#closed = true;
    this.retire();
    for (const connection of this.#open) if (connection.alive) connection.close();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  get size(): number {
    return this.#open.size;
  }

  /** A new connection; undefined where none can be made but others stand, so that waiting for one of them makes sense. */
  async #connect(): Promise<PeerConnection | undefined> {
    this.#connecting += 1;
    try {
      const connection = await PeerConnection.open(this.#settings);
      this.#down = undefined;
      this.#open.add(connection);
      connection.onEnd = () => this.#forget(connection);
      if (this.#closed) connection.close();
      return connection;
    } catch (error) {
      const failure =
        error instanceof PeerFailure
          ? error
          : new PeerFailure(describeThrown(error), { stage: "session", cause: error });
      if (this.#open.size > 0) return undefined;
      this.#down = { until: this.#clock.monotonicMs() + this.#limits.downMs, failure };
      for (const wake of this.#waiting.splice(0)) wake();
      throw failure;
    } finally {
      this.#connecting -= 1;
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
    entry.connection.quit();
    return true;
  }

  #removeIdle(connection: PeerConnection): void {
    const place = this.#idle.findIndex((entry) => entry.connection === connection);
    if (place >= 0) this.#idle.splice(place, 1)[0]!.cancel();
  }

  #forget(connection: PeerConnection): void {
    this.#removeIdle(connection);
    if (this.#open.delete(connection)) this.#waiting.shift()?.();
  }
}
