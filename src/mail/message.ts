/**
 * A message and its envelope, as sinks and the spool hold it. Header, envelope and body are values: an edit replaces one, so what
 * a failed sink did is undone by putting the old references back (`snapshot`, `restore`). Pure: where octets live is the spool's affair.
 */

import { Fault } from "../platform/fault.ts";
import type { AuthFacts } from "./auth-facts.ts";
import type { EnvelopeOptions, RecipientOptions } from "./envelope.ts";
import type { Header } from "./header.ts";
import type { Mailbox } from "./mailbox.ts";
import type { ReversePath } from "./path.ts";

/** One recipient on the envelope. */
export interface Recipient {
  readonly mailbox: Mailbox;
  /** Absent where the client asked for nothing. */
  readonly options?: RecipientOptions;
}

export interface Envelope {
  readonly reversePath: ReversePath;
  readonly recipients: readonly Recipient[];
  /** Absent where the client asked for nothing. */
  readonly options?: EnvelopeOptions;
}

/** A message's body: everything behind the empty line that ends the header. It does not change; an edited message gets another. */
export interface Body {
  readonly sizeOctets: number;
  /** All of it in memory. @throws {Fault} `spool.failed` where the file behind it is gone */
  octets(): Promise<Buffer>;
  /** All of it, piece by piece. */
  chunks(): AsyncIterable<Buffer>;
  /** The octets where they are in memory already, else undefined. */
  readonly inline: Buffer | undefined;
  /** Path of the file that holds it where it is not in memory. */
  readonly file: string | undefined;
}

/** A body that lives in memory. */
export function inlineBody(octets: Buffer): Body {
  return {
    sizeOctets: octets.length,
    inline: octets,
    file: undefined,
    octets: async () => octets,
    async *chunks() {
      if (octets.length > 0) yield octets;
    },
  };
}

/** Facts of the session a message came in by; plain data, stored with the message. */
export interface Origin {
  readonly sessionId: string;
  readonly listener: string;
  /** Address of the client, without brackets. */
  readonly ip: string;
  /** Name of the client as DNS has it, where it was looked up. */
  readonly host: string | null;
  readonly helo: string;
  /** Authenticated user. */
  readonly user: string | null;
  /** Protocol version of the TLS session, such as `TLSv1.3`. */
  readonly tls: string | null;
  /** What SPF, DKIM, DMARC and ARC said; absent where the message was not checked. */
  readonly auth?: AuthFacts;
}

/** A message that a sink makes of the one in hand. It comes into custody in the same commit, or not at all. */
export interface Submission {
  readonly message: Message;
  /** Called behind the commit. */
  readonly taken?: () => void;
}

export interface MessageState {
  readonly envelope: Envelope;
  readonly header: Header;
  readonly separator: Buffer;
  readonly body: Body;
  readonly notes: Readonly<Record<string, unknown>>;
  /** Made and not yet in custody. */
  readonly submissions: readonly Submission[];
}

type MessageInit = Omit<MessageState, "submissions"> & Partial<Pick<MessageState, "submissions">>;

const noSubmissions: readonly Submission[] = Object.freeze([]);

export class Message {
  /** Made before the reply, logged with it, and kept to the end. */
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  readonly origin: Origin;
  envelope: Envelope;
  header: Header;
  /** The line end between header and body; empty where the message ends with its header. */
  separator: Buffer;
  body: Body;
  /** Persisted with the message, readable by later sinks; JSON only. */
  notes: Readonly<Record<string, unknown>>;
  /** Not persisted with the message: whoever commits it commits them with it, and takes them off. */
  submissions: readonly Submission[];

  constructor(init: MessageInit & { readonly id: string; readonly receivedAt: number; readonly origin: Origin }) {
    this.id = init.id;
    this.receivedAt = init.receivedAt;
    this.origin = init.origin;
    this.envelope = init.envelope;
    this.header = init.header;
    this.separator = init.separator;
    this.body = init.body;
    this.notes = init.notes;
    this.submissions = init.submissions ?? noSubmissions;
  }

  /** Octets of the whole message. */
  get sizeOctets(): number {
    return this.header.octets.length + this.separator.length + this.body.sizeOctets;
  }

  snapshot(): MessageState {
    return {
      envelope: this.envelope,
      header: this.header,
      separator: this.separator,
      body: this.body,
      notes: this.notes,
      submissions: this.submissions,
    };
  }

  /** What was made of it, for whoever takes it into custody now: from here on it is his. */
  takeSubmissions(): readonly Submission[] {
    const made = this.submissions;
    if (made.length > 0) this.submissions = noSubmissions;
    return made;
  }

  restore(state: MessageState): void {
    Object.assign(this, state);
  }

  /**
   * Ends what can be done to this object: it was handed on, and what is done to it now would be done to nothing. It can still be read; whoever writes to it
   * gets the fault `message.revoked`.
   */
  revoke(): void {
    for (const [key, value] of Object.entries(this.snapshot())) {
      Object.defineProperty(this, key, {
        get: () => value,
        set: () => {
          throw new Fault(
            "message.revoked",
            `Cannot change the ${key} of ${this.id}: it was decided, expected an answer in time`,
          );
        },
      });
    }
  }

  /** Header, separator and body, piece by piece: what goes to a file or a peer. */
  async *chunks(): AsyncIterable<Buffer> {
    const head = Buffer.concat([this.header.octets, this.separator]);
    if (head.length > 0) yield head;
    yield* this.body.chunks();
  }
}
