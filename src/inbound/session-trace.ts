/** What a followed session tells: its lines and what happens besides, as they come. Secrets are masked where the lines come from. */
import type { Tracer } from "../events/trace.ts";
import type { Clock } from "../platform/clock.ts";
import type { InboundSession } from "./session.ts";

export class SessionTrace {
  readonly #session: InboundSession;
  readonly #tracer: Tracer;
  readonly #clock: Clock;
  #opened = false;

  constructor(session: InboundSession, tracer: Tracer, clock: Clock) {
    this.#session = session;
    this.#tracer = tracer;
    this.#clock = clock;
  }

  readonly got = (text: string): void => {
    this.open();
    this.#tracer.publish({ kind: "line", session: this.#session.id, way: "got", text, at: this.#clock.now() });
  };

  /** Lines as they go to the client, CRLF behind each. */
  sent(output: string): void {
    this.open();
    for (const text of output.split("\r\n").slice(0, -1)) {
      this.#tracer.publish({ kind: "line", session: this.#session.id, way: "sent", text, at: this.#clock.now() });
    }
  }

  note(text: string): void {
    this.open();
    this.#tracer.publish({ kind: "note", session: this.#session.id, text, at: this.#clock.now() });
  }

  closed(reason: string): void {
    if (!this.#opened) return;
    this.#tracer.publish({ kind: "closed", session: this.#session.id, reason, at: this.#clock.now() });
  }

  /** Says whose lines follow, once; who begins to follow in the middle is told first. */
  open(): void {
    if (this.#opened) return;
    this.#opened = true;
    const { id, listener, ip, port } = this.#session;
    this.#tracer.publish({
      kind: "opened",
      session: id,
      direction: "in",
      place: listener,
      ip,
      port,
      at: this.#clock.now(),
    });
  }
}
