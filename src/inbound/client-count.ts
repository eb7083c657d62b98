/** How many sessions each client has with one listener. */
export class ClientCount {
  readonly #sessions = new Map<string, number>();

  /** One more; gives how many there are now. */
  enter(ip: string): number {
    const sessions = (this.#sessions.get(ip) ?? 0) + 1;
    this.#sessions.set(ip, sessions);
    return sessions;
  }

  /** One less; who has none is forgotten. */
  leave(ip: string): void {
    const sessions = (this.#sessions.get(ip) ?? 1) - 1;
    if (sessions > 0) this.#sessions.set(ip, sessions);
    else this.#sessions.delete(ip);
  }
}
