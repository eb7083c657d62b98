/** A spool that lives in memory: for tests, and for tools that deliver nothing. Same contract as the durable one, but nothing survives the process. */
import type { Body, Message, MessageState } from "../mail/message.ts";
import { inlineBody, Message as StoredMessage } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import {
  type BodyWriter,
  type QueueEntry,
  queuedRecipients,
  type RecipientUpdate,
  type Spool,
  type StoredRecipient,
} from "./spool.ts";

interface Row {
  readonly message: Message;
  recipients: StoredRecipient[];
}

export function createMemorySpool(): Spool {
  const rows = new Map<string, Row>();
  let closed = false;

  function checkOpen(work: string): void {
    if (closed) throw new Fault("spool.closed", `Cannot ${work}: the spool is closed`);
  }

  function createRows(messages: readonly Message[], nextAttemptAt: (message: Message) => number): Row[] {
    const fresh = new Set<string>();
    for (const { id, envelope } of messages) {
      if (envelope.recipients.length === 0)
        throw new Fault("spool.failed", `Cannot accept the message ${id}: it has no recipient, expected one at least`);
      if (rows.has(id) || fresh.has(id))
        throw new Fault("spool.failed", `Cannot accept the message ${id}: the spool has one of that id`);
      fresh.add(id);
    }
    return messages.map((message) => ({
      message: copyMessage(message),
      recipients: queuedRecipients(message.envelope, nextAttemptAt(message)),
    }));
  }

  return {
    createBody() {
      checkOpen("create a body");
      return createMemoryBody();
    },
    async accept(messages, nextAttemptAt) {
      checkOpen("accept a message");
      for (const row of createRows(messages, () => nextAttemptAt)) rows.set(row.message.id, row);
    },
    async load(messageId) {
      checkOpen("load a message");
      const row = rows.get(messageId);
      return row && copyMessage(row.message);
    },
    async list() {
      checkOpen("list messages");
      return [...rows.values()]
        .map(describeRow)
        .sort((one, other) => one.receivedAt - other.receivedAt || (one.messageId < other.messageId ? -1 : 1));
    },
    async find(messageId) {
      checkOpen("find a message");
      const row = rows.get(messageId);
      return row && describeRow(row);
    },
    async record(messageId, updates, reports = []) {
      checkOpen("record an attempt");
      const row = rows.get(messageId);
      if (!row)
        throw new Fault(
          "spool.unknown-message",
          `Cannot record an attempt of ${messageId}: the spool has no such message`,
        );
      const recipients = applyUpdates(messageId, row.recipients, updates);
      for (const report of createRows(reports, (message) => message.receivedAt)) rows.set(report.message.id, report);
      row.recipients = recipients;
      if (!recipients.some((recipient) => recipient.state === "queued")) rows.delete(messageId);
    },
    failing: () => null,
    counts() {
      let recipients = 0;
      for (const row of rows.values())
        recipients += row.recipients.filter((recipient) => recipient.state === "queued").length;
      return { messages: rows.size, recipients };
    },
    async close() {
      closed = true;
    },
  };
}

function createMemoryBody(): BodyWriter {
  let chunks: Buffer[] | undefined = [];
  const open = (): Buffer[] => {
    if (!chunks)
      throw new Fault("spool.failed", "Cannot use a body that is finished or discarded, expected an open one");
    return chunks;
  };
  return {
    write(chunk) {
      try {
        open().push(chunk);
        return undefined;
      } catch (error) {
        return Promise.reject(error);
      }
    },
    async finish(): Promise<Body> {
      const octets = Buffer.concat(open());
      chunks = undefined;
      return inlineBody(octets);
    },
    async discard() {
      chunks = undefined;
    },
  };
}

/** What is kept does not follow what others do to the message afterwards, and notes are JSON here too. */
function copyMessage(message: Message): Message {
  const state: MessageState = {
    ...message.snapshot(),
    notes: JSON.parse(JSON.stringify(message.notes)) as Readonly<Record<string, unknown>>,
  };
  return new StoredMessage({ id: message.id, receivedAt: message.receivedAt, origin: message.origin, ...state });
}

function applyUpdates(
  messageId: string,
  recipients: readonly StoredRecipient[],
  updates: readonly RecipientUpdate[],
): StoredRecipient[] {
  const changed = [...recipients];
  for (const update of updates) {
    const recipient = changed[update.index];
    if (!recipient) {
      throw new Fault(
        "spool.unknown-message",
        `Cannot record an attempt of ${messageId}: it has no recipient ${update.index}, expected one of ${recipients.length}`,
      );
    }
    changed[update.index] = { ...recipient, ...update };
  }
  return changed;
}

function describeRow({ message, recipients }: Row): QueueEntry {
  return {
    messageId: message.id,
    receivedAt: message.receivedAt,
    sizeOctets: message.sizeOctets,
    reversePath: formatReversePath(message.envelope.reversePath),
    recipients: [...recipients],
  };
}
