/**
 * How many octets of messages are on their way to the sandbox at one time. Without a bound a few large messages at once would make a process
 * exceed its memory, and a script that did nothing would be blamed for it. Whoever finds no room waits, first come, first served.
 */

export class OctetBudget {
  readonly #octetsMax: number;
  #taken = 0;
  readonly #waiting: { readonly octets: number; readonly resume: () => void }[] = [];

  constructor(octetsMax: number) {
    this.#octetsMax = octetsMax;
  }

  /** Resolves when there is room; more than there ever is gets it alone. What was taken must be given back. */
  async take(octets: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(octets)) {
      this.#taken += octets;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ octets, resume: resolve });
    await promise;
  }

  giveBack(octets: number): void {
    this.#taken -= octets;
    for (let next = this.#waiting[0]; next && this.#fits(next.octets); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#taken += next.octets;
      next.resume();
    }
  }

  #fits(octets: number): boolean {
    return this.#taken === 0 || this.#taken + octets <= this.#octetsMax;
  }
}
