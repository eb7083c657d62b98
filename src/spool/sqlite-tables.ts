/** The spool's operations on its tables, one function each; transactions and faults are the caller's (sqlite-worker.ts). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { EnvelopeOptions, RecipientOptions } from "../mail/envelope.ts";
import type { Envelope } from "../mail/message.ts";
import { Fault } from "../platform/fault.ts";
import type { RecipientState, RecipientUpdate, RecordedChange, SpoolCounts } from "./spool.ts";
import type { LoadedMessage, Operation, Value } from "./sqlite-protocol.ts";
import { createQueries } from "./sqlite-query.ts";
import { addresseeOf, entryOf, optionsOf, type Row, reversePathOf } from "./sqlite-rows.ts";
import type { StoredMessage } from "./stored-message.ts";

/** Hands out the octets of a batch, piece by piece, in the order they were packed. */
export type TakeOctets = (length: number) => Uint8Array;

/** What an operation changed beside the tables. */
export interface Effects {
  messages: number;
  recipients: number;
  /** Body files that a row let go of. Those no other row has are to be removed once the commit is durable. */
  readonly bodyFiles: string[];
}

export interface Tables {
  apply(operation: Operation, take: TakeOctets, effects: Effects): Value;
  count(): SpoolCounts;
  /** Every body file a row refers to. */
  bodyFiles(): Map<string, string>;
  /** Whether a row refers to a body file. */
  hasBodyFile(file: string): boolean;
}

export function createTables(database: DatabaseSync, bodiesFolder: string): Tables {
  const insertMessage = database.prepare(
    "INSERT INTO message (id, received_at, size_octets, reverse_local, reverse_domain, options, origin, notes, body_octets, body_file, header, separator, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const insertRecipient = database.prepare(
    "INSERT INTO recipient (message_key, place, local_part, domain, options, state, attempts, next_attempt_at, last_outcome, delay_told, categorized) VALUES (?, ?, ?, ?, ?, 'queued', 0, ?, '', ?, ?)",
  );
  const keyOf = database.prepare("SELECT key, body_file FROM message WHERE id = ?");
  const stateOf = database.prepare("SELECT state FROM recipient WHERE message_key = ? AND place = ?");
  const updateRecipient = database.prepare(
    "UPDATE recipient SET state = ?, attempts = ?, next_attempt_at = ?, last_outcome = ?, held_by = ?, delay_told = max(delay_told, ?), categorized = ? WHERE message_key = ? AND place = ?",
  );
  // One that was tried speaks for the others.
  const markCategorized = database.prepare(
    "UPDATE recipient SET categorized = 1 WHERE message_key = ? AND categorized = 0",
  );
  const deleteMessage = database.prepare("DELETE FROM message WHERE key = ?");
  const messageOfFile = database.prepare("SELECT 1 FROM message WHERE body_file = ? LIMIT 1");
  const selectMessage = database.prepare("SELECT * FROM message WHERE id = ?");
  const selectRecipient = database.prepare("SELECT * FROM recipient WHERE message_key = ? AND place = ?");
  const selectRecipients = database.prepare("SELECT * FROM recipient WHERE message_key = ? ORDER BY place");
  const selectEntry = database.prepare(
    "SELECT key, id, received_at, size_octets, reverse_local, reverse_domain FROM message WHERE id = ?",
  );
  const updateMessage = database.prepare(
    "UPDATE message SET size_octets = ?, reverse_local = ?, reverse_domain = ?, options = ?, notes = ?, body_octets = ?, body_file = ?, header = ?, separator = ?, body = ? WHERE key = ?",
  );
  const factsOf = database.prepare(
    "SELECT count(*) AS recipients, total(state = 'queued') AS queued, max(delay_told) AS delay_told, min(categorized) AS categorized FROM recipient WHERE message_key = ?",
  );
  const deleteRecipients = database.prepare("DELETE FROM recipient WHERE message_key = ?");
  const queries = createQueries(database);

  function checkFile({ id, bodyFile }: StoredMessage): void {
    // Another message may have shared the file and gone, and taken it along.
    if (bodyFile !== null && !existsSync(join(bodiesFolder, bodyFile)))
      throw new Fault("spool.failed", `Cannot accept the message ${id}: the file of its body is gone`);
  }

  function addRecipients(
    key: number | bigint,
    { envelope }: StoredMessage,
    state: { readonly nextAttemptAt: number; readonly delayTold: number; readonly categorized: number },
  ): void {
    envelope.recipients.forEach(({ mailbox, options }, place) => {
      const { localPart, domain } = mailbox;
      insertRecipient.run(
        key,
        place,
        localPart,
        domain,
        formatOptions(options),
        state.nextAttemptAt,
        state.delayTold,
        state.categorized,
      );
    });
  }

  function accept(
    message: StoredMessage,
    how: { readonly nextAttemptAt: number; readonly categorized: number },
    take: TakeOctets,
    effects: Effects,
  ): void {
    const header = take(message.headerOctets);
    const separator = take(message.separatorOctets);
    const body = message.bodyFile === null ? take(message.bodyOctets) : null;
    const { reversePath, recipients, options } = message.envelope;
    if (recipients.length === 0) {
      throw new Fault(
        "spool.failed",
        `Cannot accept the message ${message.id}: it has no recipient, expected one at least`,
      );
    }
    checkFile(message);
    const { lastInsertRowid } = insertMessage.run(
      message.id,
      message.receivedAt,
      message.sizeOctets,
      reversePath?.localPart ?? null,
      reversePath?.domain ?? null,
      formatOptions(options),
      message.origin,
      message.notes,
      message.bodyOctets,
      message.bodyFile,
      header,
      separator,
      body,
    );
    addRecipients(lastInsertRowid, message, { ...how, delayTold: 0 });
    effects.messages += 1;
    effects.recipients += recipients.length;
  }

  function find(messageId: string, work: string): Row {
    const row = keyOf.get(messageId);
    if (!row) throw new Fault("spool.unknown-message", `Cannot ${work} ${messageId}: the spool has no such message`);
    return row;
  }

  function record(messageId: string, updates: readonly RecipientUpdate[], effects: Effects): void {
    const row = find(messageId, "record an attempt of");
    const key = Number(row.key);
    const facts = factsOf.get(key)!;
    const queuedBefore = Number(facts.queued);
    let queued = queuedBefore;
    /** Those that are named twice. */
    const changed = new Map<number, RecipientState>();
    for (const { index, state } of updates) {
      const before = changed.get(index) ?? (stateOf.get(key, index)?.state as RecipientState | undefined);
      if (before === undefined) {
        throw new Fault(
          "spool.unknown-message",
          `Cannot record an attempt of ${messageId}: it has no recipient ${index}, expected one of ${facts.recipients}`,
        );
      }
      queued += Number(state === "queued") - Number(before === "queued");
      changed.set(index, state);
    }
    effects.recipients += queued - queuedBefore;
    if (queued > 0) {
      if (facts.categorized === 0 && updates.some(({ categorized }) => categorized !== false)) markCategorized.run(key);
      for (const update of updates) {
        updateRecipient.run(
          update.state,
          update.attempts,
          update.nextAttemptAt,
          update.lastOutcome,
          update.heldBy ?? null,
          update.delayTold ? 1 : 0,
          update.categorized === false ? 0 : 1,
          key,
          update.index,
        );
      }
      return;
    }
    deleteMessage.run(key);
    effects.messages -= 1;
    letGo(row, effects);
  }

  function letGo({ body_file: file }: Row, effects: Effects): void {
    if (file !== null) effects.bodyFiles.push(String(file));
  }

  function recordAll(changes: readonly RecordedChange[], effects: Effects): void {
    for (const { messageId, updates } of changes) if (keyOf.get(messageId)) record(messageId, updates, effects);
  }

  function replace(
    operation: Extract<Operation, { readonly kind: "replace" }>,
    take: TakeOctets,
    effects: Effects,
  ): void {
    const { message, forks, reports, updates, nextAttemptAt } = operation;
    const row = find(message.id, "replace the message");
    const key = Number(row.key);
    const header = take(message.headerOctets);
    const separator = take(message.separatorOctets);
    const body = message.bodyFile === null ? take(message.bodyOctets) : null;
    const { reversePath, recipients, options } = message.envelope;
    checkFile(message);
    const before = factsOf.get(key)!;
    deleteRecipients.run(key);
    effects.recipients += recipients.length - Number(before.queued);
    updateMessage.run(
      message.sizeOctets,
      reversePath?.localPart ?? null,
      reversePath?.domain ?? null,
      formatOptions(options),
      message.notes,
      message.bodyOctets,
      message.bodyFile,
      header,
      separator,
      body,
      key,
    );
    addRecipients(key, message, { nextAttemptAt, delayTold: Number(before.delay_told), categorized: 1 });
    if (row.body_file !== message.bodyFile) letGo(row, effects);
    for (const fork of forks) accept(fork, { nextAttemptAt, categorized: 1 }, take, effects);
    for (const report of reports) acceptReport(report, take, effects);
    if (updates.length > 0 || recipients.length === 0) record(message.id, updates, effects);
  }

  /** A report is due at once: the time it was made. */
  function acceptReport(report: StoredMessage, take: TakeOctets, effects: Effects): void {
    accept(report, { nextAttemptAt: report.receivedAt, categorized: 0 }, take, effects);
  }

  function load(messageId: string): LoadedMessage | undefined {
    const row = selectMessage.get(messageId);
    if (!row) return undefined;
    return {
      id: messageId,
      receivedAt: Number(row.received_at),
      envelope: envelopeOf(row, selectRecipients.all(row.key!)),
      origin: String(row.origin),
      notes: String(row.notes),
      header: octetsOf(row.header),
      separator: octetsOf(row.separator),
      body: octetsOf(row.body),
      bodyFile: row.body_file as string | null,
      bodyOctets: Number(row.body_octets),
    };
  }

  return {
    apply(operation, take, effects) {
      switch (operation.kind) {
        case "accept":
          for (const message of operation.messages)
            accept(message, { nextAttemptAt: operation.nextAttemptAt, categorized: 0 }, take, effects);
          return undefined;
        case "record":
          for (const report of operation.reports) acceptReport(report, take, effects);
          record(operation.messageId, operation.updates, effects);
          return undefined;
        case "recordAll":
          recordAll(operation.changes, effects);
          return undefined;
        case "replace":
          replace(operation, take, effects);
          return undefined;
        case "load":
          return load(operation.messageId);
        case "find": {
          const row = selectEntry.get(operation.messageId);
          if (!row) return undefined;
          const { places } = operation;
          const key = Number(row.key);
          const recipients = places
            ? places.map((place) => selectRecipient.get(key, place)).filter((recipient) => recipient !== undefined)
            : selectRecipients.all(key);
          return entryOf(row, recipients);
        }
        case "list":
          return queries.list(operation.limit, operation.after);
        case "query":
          return queries.query(operation.selection, operation.page);
      }
    },
    count() {
      const row = database
        .prepare(
          "SELECT (SELECT count(*) FROM message) AS messages, (SELECT count(*) FROM recipient WHERE state = 'queued') AS recipients",
        )
        .get()!;
      return { messages: Number(row.messages), recipients: Number(row.recipients) };
    },
    bodyFiles() {
      const rows = database.prepare("SELECT id, body_file FROM message WHERE body_file IS NOT NULL").all();
      return new Map(rows.map((row) => [String(row.body_file), String(row.id)]));
    },
    hasBodyFile: (file) => messageOfFile.get(file) !== undefined,
  };
}

function octetsOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

/** NULL where nothing was asked, which is most mail: no JSON is written then, and none read. */
function formatOptions(options: EnvelopeOptions | RecipientOptions | undefined): string | null {
  if (!options) return null;
  const text = JSON.stringify(options);
  return text === "{}" ? null : text;
}

function envelopeOf(row: Row, recipients: readonly Row[]): Envelope {
  return {
    reversePath: reversePathOf(row),
    recipients: recipients.map(addresseeOf),
    ...optionsOf<EnvelopeOptions>(row),
  };
}
