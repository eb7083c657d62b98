/**
 * Octets a script wrote in one run: texts, attachments, bodies of its calls. They leave the isolate piece by piece and are kept here by number,
 * so that its answer only names them. Bounded; a run that is begun anew begins with none.
 */

export class WrittenContent {
  readonly #octetsMax: number;
  readonly #contents: Buffer[][] = [];
  #octets = 0;

  constructor(octetsMax: number) {
    this.#octetsMax = octetsMax;
  }

  /**
   * Takes what the guest puts: `n` begins a new content, `+` carries on with the one before; then `t` and a text, or `b` and base64.
   * Gives the number of the content, or false where it is too much.
   */
  put(argument: string): string | false {
    const octets = Buffer.from(argument.slice(2), argument[1] === "b" ? "base64" : "utf8");
    this.#octets += octets.length;
    if (this.#octets > this.#octetsMax) return false;
    const last = this.#contents.at(-1);
    if (argument[0] === "+" && last) last.push(octets);
    else this.#contents.push([octets]);
    return String(this.#contents.length - 1);
  }

  /** Octets of a content; none where there is no such number. */
  octets(content: number): Buffer {
    const pieces = this.#contents[content] ?? [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
}
