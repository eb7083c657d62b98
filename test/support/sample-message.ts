/** Messages for tests that need one and do not care which. */
import type { EnvelopeOptions, RecipientOptions } from "../../src/mail/envelope.ts";
import { splitMessage } from "../../src/mail/header.ts";
import { createId } from "../../src/mail/ids.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import { type Body, inlineBody, Message } from "../../src/mail/message.ts";

export const sampleData =
  "From: Ada <ada@sender.example>\r\nTo: grace@example.test\r\nSubject: Hello\r\nMessage-ID: <1@sender.example>\r\n\r\nFirst line\r\n.dot\r\n";

export interface SampleMessage {
  readonly id?: string;
  readonly receivedAt?: number;
  /** Null for the null reverse-path. */
  readonly from?: string | null;
  readonly to?: readonly string[];
  readonly options?: EnvelopeOptions;
  /** What was asked for the recipients, by their places. */
  readonly toOptions?: readonly (RecipientOptions | undefined)[];
  /** Header, separator and body in one piece. */
  readonly data?: string | Buffer;
  /** A body in place of the one in `data`. */
  readonly body?: Body;
  readonly notes?: Readonly<Record<string, unknown>>;
}

export function createSampleMessage(sample: SampleMessage = {}): Message {
  const receivedAt = sample.receivedAt ?? Date.UTC(2026, 0, 5, 12);
  const { from = "ada@sender.example", to = ["grace@example.test"], data = sampleData } = sample;
  const { header, separator, body } = splitMessage(Buffer.from(data as string));
  return new Message({
    id: sample.id ?? createId(receivedAt),
    receivedAt,
    origin: {
      sessionId: "0123456789ABCDEF",
      listener: "mx",
      ip: "192.0.2.7",
      host: null,
      helo: "client.example",
      user: null,
      tls: null,
    },
    envelope: {
      reversePath: from === null ? null : parseMailbox(from),
      recipients: to.map((mailbox, place) => {
        const options = sample.toOptions?.[place];
        return { mailbox: parseMailbox(mailbox), ...(options ? { options } : {}) };
      }),
      ...(sample.options ? { options: sample.options } : {}),
    },
    header,
    separator,
    body: sample.body ?? inlineBody(body),
    notes: sample.notes ?? {},
  });
}

/** Every octet of a message. */
export async function readMessage(message: Message): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
