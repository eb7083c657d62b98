/**
 * A session without a network: the very conversation a listener has, with a client that is a program. What sinks decide is real; what becomes
 * of the message is up to the reception it is given.
 */
import type { TlsFacts } from "../events/subject.ts";
import type { Clock } from "../platform/clock.ts";
import { ServerSession } from "../smtp/server-session.ts";
import { Conversation } from "./conversation.ts";
import type { ListenerOptions } from "./listener.ts";
import type { Reception } from "./reception.ts";
import { InboundSession } from "./session.ts";
import { settingsOf } from "./session-settings.ts";
import { SessionTrace } from "./session-trace.ts";

/** What is known of the client before it says a word. */
export interface RehearsalFacts {
  readonly ip: string;
  readonly port: number;
  /** As if a handshake had been done before the greeting. */
  readonly tls: TlsFacts | null;
  /** As if it had logged in. */
  readonly user: string | null;
}

export class RehearsedSession {
  readonly #smtp: ServerSession;
  readonly #session: InboundSession;
  readonly #talk: Conversation;
  readonly #reception: Reception;
  readonly #trace: SessionTrace;
  #isEnded = false;

  /** TLS is there or not; no handshake can be had. */
  constructor(
    { tls: _tls, ...options }: ListenerOptions,
    { reception, clock }: { readonly reception: Reception; readonly clock: Clock },
    facts: RehearsalFacts,
  ) {
    this.#reception = reception;
    this.#session = new InboundSession({
      listener: options.name,
      role: options.role,
      ip: facts.ip,
      port: facts.port,
      startedAt: clock.now(),
      rehearsal: true,
    });
    this.#session.tls = facts.tls;
    this.#session.user = facts.user;
    this.#smtp = new ServerSession(settingsOf(options, this.#session, reception));
    if (facts.tls) this.#smtp.secured();
    if (facts.user !== null) this.#smtp.loggedIn();
    this.#trace = new SessionTrace(this.#session, reception.tracer, clock);
    this.#smtp.onLine = this.#trace.got;
    this.#talk = new Conversation({
      smtp: this.#smtp,
      session: this.#session,
      reception,
      note: (text) => this.#trace.note(text()),
    });
  }

  get isOver(): boolean {
    return this.#talk.isOver;
  }

  /** Whether mail data is awaited, and not a command. */
  get inData(): boolean {
    return this.#smtp.state === "data";
  }

  /** The client connects; gives the greeting, or why there is none. */
  async begin(): Promise<string> {
    this.#trace.open();
    await this.#talk.greet();
    return this.#work();
  }

  /** Octets of the client's; gives what it hears, "" where that is nothing yet. */
  async say(octets: Buffer): Promise<string> {
    this.#smtp.receive(octets);
    return this.#work();
  }

  /** The client is gone. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#talk.dropMessage();
    this.#reception.disconnect(this.#session, this.#talk.reason);
    this.#trace.closed(this.#talk.reason);
  }

  async #work(): Promise<string> {
    let heard = this.#take();
    for (let step = this.#talk.next(); step !== null; step = this.#talk.next()) {
      await this.#talk.perform(step);
      heard += this.#take();
    }
    return heard;
  }

  #take(): string {
    const output = this.#smtp.takeOutput();
    if (output !== "") this.#trace.sent(output);
    return output;
  }
}
