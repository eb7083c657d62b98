/** A spool that lives in memory: for tests, and for tools that deliver nothing. Same contract as the durable one, but nothing survives the process. */
import type { Body, Message, MessageState } from "../mail/message.ts";
import { inlineBody, Message as StoredMessage } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import { fillPage } from "./page.ts";
import type { PageStart, SpoolSelection } from "./selection.ts";
import { isRecipientMeant, isSenderMeant } from "./selection-match.ts";
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
  categorized: boolean;
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
      categorized: false,
    }));
  }

  /** Undone by nobody: check all else before. */
  function change(messageId: string, row: Row, updates: readonly RecipientUpdate[]): void {
    row.recipients = applyUpdates(messageId, row.recipients, updates);
    row.categorized = updates.some(({ categorized = true }) => categorized);
    if (!row.recipients.some((recipient) => recipient.state === "queued")) rows.delete(messageId);
  }

  function ordered(after?: PageStart): Row[] {
    return [...rows.values()]
      .filter(({ message }) => !after || isBehind(message, after))
      .sort(({ message: one }, { message: other }) => (isBehind(one, { ...other, messageId: other.id }) ? 1 : -1));
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
    async list(page) {
      checkOpen("list messages");
      return page ? fillPage(ordered(page.after).slice(0, page.limit), describeRow) : ordered().map(describeRow);
    },
    async query(selection, page) {
      checkOpen("select messages");
      const counted = "offset" in page;
      const found = ordered(counted ? undefined : page.after).filter(
        (row) => isMessageMeant(selection, row.message) && meantOf(selection, row).length > 0,
      );
      const from = counted ? page.offset : 0;
      const entries = fillPage(found.slice(from, from + page.limit), (row) => ({
        ...describeRow(row),
        meant: meantOf(selection, row),
      }));
      return { entries, total: counted ? found.length : 0 };
    },
    async find(messageId, places) {
      checkOpen("find a message");
      const row = rows.get(messageId);
      if (!row || !places) return row && describeRow(row);
      return describeRow({ ...row, recipients: places.flatMap((place) => row.recipients[place] ?? []) });
    },
    async record(messageId, updates, reports = []) {
      checkOpen("record an attempt");
      const row = rows.get(messageId);
      if (!row)
        throw new Fault(
          "spool.unknown-message",
          `Cannot record an attempt of ${messageId}: the spool has no such message`,
        );
      applyUpdates(messageId, row.recipients, updates);
      for (const report of createRows(reports, (message) => message.receivedAt)) rows.set(report.message.id, report);
      change(messageId, row, updates);
    },
    async recordAll(changes) {
      checkOpen("record changes");
      const present = changes.flatMap(({ messageId, updates }) => {
        const row = rows.get(messageId);
        if (!row) return [];
        applyUpdates(messageId, row.recipients, updates);
        return [{ messageId, updates, row }];
      });
      for (const { messageId, updates, row } of present) change(messageId, row, updates);
    },
    async replace({ message, forks, reports, updates, nextAttemptAt }) {
      checkOpen("replace a message");
      const former = rows.get(message.id);
      if (!former)
        throw new Fault(
          "spool.unknown-message",
          `Cannot replace the message ${message.id}: the spool has no such message`,
        );
      const delayTold = former.recipients.some((recipient) => recipient.delayTold);
      const recipients = queuedRecipients(message.envelope, nextAttemptAt).map(
        (recipient): StoredRecipient => ({
          ...recipient,
          ...(delayTold ? { delayTold } : {}),
        }),
      );
      applyUpdates(message.id, recipients, updates);
      const others = [
        ...createRows(forks, () => nextAttemptAt).map((row) => ({ ...row, categorized: true })),
        ...createRows(reports, ({ receivedAt }) => receivedAt),
      ];
      const row: Row = { message: copyMessage(message), recipients, categorized: true };
      for (const each of [row, ...others]) rows.set(each.message.id, each);
      change(message.id, row, updates);
      row.categorized = true;
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

function isBehind({ receivedAt, id }: Message, after: PageStart): boolean {
  return receivedAt > after.receivedAt || (receivedAt === after.receivedAt && id > after.messageId);
}

function isMessageMeant(selection: SpoolSelection, { id, receivedAt, envelope }: Message): boolean {
  const { ids, receivedBefore, receivedAfter } = selection;
  return (
    (ids?.includes(id) ?? true) &&
    (receivedBefore === undefined || receivedAt < receivedBefore) &&
    (receivedAfter === undefined || receivedAt > receivedAfter) &&
    isSenderMeant(selection, envelope.reversePath)
  );
}

function meantOf(selection: SpoolSelection, { message, recipients }: Row): number[] {
  const { among } = selection;
  return recipients
    .filter((recipient) => isRecipientMeant(selection, recipient))
    .map(({ index }) => index)
    .filter((index) => !among || among.some(([id, place]) => id === message.id && place === index));
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
    const { heldBy: _before, ...kept } = recipient;
    const { categorized: _row, ...given } = update;
    changed[update.index] = { ...kept, ...given };
  }
  return changed;
}

function describeRow({ message, recipients, categorized }: Row): QueueEntry {
  return {
    messageId: message.id,
    receivedAt: message.receivedAt,
    sizeOctets: message.sizeOctets,
    reversePath: formatReversePath(message.envelope.reversePath),
    recipients: [...recipients],
    categorized,
  };
}
