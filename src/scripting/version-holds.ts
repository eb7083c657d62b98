/** Who still needs which version in the sandbox: sets of bindings that are not released, and loads under way. One that nobody holds any more is unloaded. */
export class VersionHolds {
  readonly #holds = new Map<string, number>();
  readonly #unload: (version: string) => void;

  constructor(unload: (version: string) => void) {
    this.#unload = unload;
  }

  hold(versions: readonly string[]): void {
    for (const version of versions) this.#holds.set(version, (this.#holds.get(version) ?? 0) + 1);
  }

  /** Lets go of what was held. */
  release(versions: readonly string[]): void {
    for (const version of versions) {
      const holds = this.#holds.get(version)! - 1;
      if (holds > 0) this.#holds.set(version, holds);
      else {
        this.#holds.delete(version);
        this.#unload(version);
      }
    }
  }
}
