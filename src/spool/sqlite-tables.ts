/** The spool's operations on its tables, one function each; transactions and faults are the caller's (sqlite-worker.ts). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { EnvelopeOptions, RecipientOptions } from "../mail/envelope.ts";
import type { Envelope, Recipient } from "../mail/message.ts";
import { formatReversePath, type ReversePath } from "../mail/path.ts";
import { Fault } from "../platform/fault.ts";
import type { QueueEntry, RecipientState, RecipientUpdate, SpoolCounts, StoredRecipient } from "./spool.ts";
import type { LoadedMessage, Operation, Value } from "./sqlite-protocol.ts";
import type { StoredMessage } from "./stored-message.ts";

/** Hands out the octets of a batch, piece by piece, in the order they were packed. */
export type TakeOctets = (length: number) => Uint8Array;

/** What an operation changed beside the tables. */
export interface Effects {
  messages: number;
  recipients: number;
  /** Body files no row refers to any more; to be removed once the commit is durable. */
  readonly bodyFiles: string[];
}

export interface Tables {
  apply(operation: Operation, take: TakeOctets, effects: Effects): Value;
  count(): SpoolCounts;
  /** Every body file a row refers to. */
  bodyFiles(): Map<string, string>;
}

export function createTables(database: DatabaseSync, bodiesFolder: string): Tables {
  const insertMessage = database.prepare(
    "INSERT INTO message (id, received_at, size_octets, reverse_local, reverse_domain, options, origin, notes, body_octets, body_file, header, separator, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const insertRecipient = database.prepare(
    "INSERT INTO recipient (message_key, place, local_part, domain, options, state, attempts, next_attempt_at, last_outcome) VALUES (?, ?, ?, ?, ?, 'queued', 0, ?, '')",
  );
  const keyOf = database.prepare("SELECT key, body_file FROM message WHERE id = ?");
  const statesOf = database.prepare("SELECT place, state FROM recipient WHERE message_key = ? ORDER BY place");
  const updateRecipient = database.prepare(
    "UPDATE recipient SET state = ?, attempts = ?, next_attempt_at = ?, last_outcome = ? WHERE message_key = ? AND place = ?",
  );
  const deleteMessage = database.prepare("DELETE FROM message WHERE key = ?");
  const otherOfFile = database.prepare("SELECT 1 FROM message WHERE body_file = ? LIMIT 1");
  const selectMessage = database.prepare("SELECT * FROM message WHERE id = ?");
  const selectRecipients = database.prepare("SELECT * FROM recipient WHERE message_key = ? ORDER BY place");
  const entryColumns = "key, id, received_at, size_octets, reverse_local, reverse_domain";
  const selectEntry = database.prepare(`SELECT ${entryColumns} FROM message WHERE id = ?`);
  const selectEntries = database.prepare(`SELECT ${entryColumns} FROM message ORDER BY received_at, id`);
  const selectAllRecipients = database.prepare("SELECT * FROM recipient ORDER BY message_key, place");

  function accept(message: StoredMessage, nextAttemptAt: number, take: TakeOctets, effects: Effects): void {
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
    // Another message may have shared the file and gone, and taken it along.
    if (message.bodyFile !== null && !existsSync(join(bodiesFolder, message.bodyFile))) {
      throw new Fault("spool.failed", `Cannot accept the message ${message.id}: the file of its body is gone`);
    }
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
    recipients.forEach(({ mailbox, options }, place) => {
      const { localPart, domain } = mailbox;
      insertRecipient.run(lastInsertRowid, place, localPart, domain, formatOptions(options), nextAttemptAt);
    });
    effects.messages += 1;
    effects.recipients += recipients.length;
  }

  function record(messageId: string, updates: readonly RecipientUpdate[], effects: Effects): void {
    const row = keyOf.get(messageId);
    if (!row)
      throw new Fault(
        "spool.unknown-message",
        `Cannot record an attempt of ${messageId}: the spool has no such message`,
      );
    const key = Number(row.key);
    const states = statesOf.all(key).map((recipient) => recipient.state as RecipientState);
    const queuedBefore = countQueued(states);
    for (const { index, state } of updates) {
      if (states[index] === undefined) {
        throw new Fault(
          "spool.unknown-message",
          `Cannot record an attempt of ${messageId}: it has no recipient ${index}, expected one of ${states.length}`,
        );
      }
      states[index] = state;
    }
    const queued = countQueued(states);
    effects.recipients += queued - queuedBefore;
    if (queued > 0) {
      for (const { index, state, attempts, nextAttemptAt, lastOutcome } of updates) {
        updateRecipient.run(state, attempts, nextAttemptAt, lastOutcome, key, index);
      }
      return;
    }
    deleteMessage.run(key);
    effects.messages -= 1;
    const file = row.body_file as string | null;
    if (file !== null && !otherOfFile.get(file)) effects.bodyFiles.push(file);
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

  function list(): QueueEntry[] {
    const recipients = new Map<number, StoredRecipient[]>();
    for (const row of selectAllRecipients.iterate()) {
      const key = Number(row.message_key);
      const others = recipients.get(key);
      if (others) others.push(recipientOf(row));
      else recipients.set(key, [recipientOf(row)]);
    }
    return selectEntries.all().map((row) => entryOf(row, recipients.get(Number(row.key)) ?? []));
  }

  return {
    apply(operation, take, effects) {
      switch (operation.kind) {
        case "accept":
          for (const message of operation.messages) accept(message, operation.nextAttemptAt, take, effects);
          return undefined;
        case "record":
          // A report is due at once: the time it was made.
          for (const report of operation.reports) accept(report, report.receivedAt, take, effects);
          record(operation.messageId, operation.updates, effects);
          return undefined;
        case "load":
          return load(operation.messageId);
        case "find": {
          const row = selectEntry.get(operation.messageId);
          return row && entryOf(row, selectRecipients.all(row.key!).map(recipientOf));
        }
        case "list":
          return list();
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
  };
}

type Row = Readonly<Record<string, unknown>>;

function countQueued(states: readonly RecipientState[]): number {
  return states.reduce((count, state) => count + (state === "queued" ? 1 : 0), 0);
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

/** To be spread into what has options. */
function optionsOf<Options>(row: Row): { readonly options?: Options } {
  return row.options === null ? {} : { options: JSON.parse(String(row.options)) as Options };
}

function envelopeOf(row: Row, recipients: readonly Row[]): Envelope {
  return {
    reversePath: reversePathOf(row),
    recipients: recipients.map(addresseeOf),
    ...optionsOf<EnvelopeOptions>(row),
  };
}

function addresseeOf(row: Row): Recipient {
  return {
    mailbox: { localPart: String(row.local_part), domain: String(row.domain) },
    ...optionsOf<RecipientOptions>(row),
  };
}

function reversePathOf(row: Row): ReversePath {
  return row.reverse_local === null
    ? null
    : { localPart: String(row.reverse_local), domain: String(row.reverse_domain) };
}

function entryOf(row: Row, recipients: readonly StoredRecipient[]): QueueEntry {
  return {
    messageId: String(row.id),
    receivedAt: Number(row.received_at),
    sizeOctets: Number(row.size_octets),
    reversePath: formatReversePath(reversePathOf(row)),
    recipients,
  };
}

function recipientOf(row: Row): StoredRecipient {
  return {
    ...addresseeOf(row),
    index: Number(row.place),
    state: row.state as RecipientState,
    attempts: Number(row.attempts),
    nextAttemptAt: Number(row.next_attempt_at),
    lastOutcome: String(row.last_outcome),
  };
}
