/**
 * The thread that holds the spool's database. It takes batches: all operations of a batch become one transaction, and are answered after COMMIT
 * returned, which is after the sync of the write-ahead log. A failed operation is undone alone; a failed commit fails them all.
 */
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { armedCrashPoint, crashPoint } from "../platform/crash-point.ts";
import type { Fault } from "../platform/fault.ts";
import { bodyFilePattern } from "./body-file.ts";
import {
  type Batch,
  type FromWorker,
  messagesOf,
  type Operation,
  type Recovery,
  type Result,
  type StoredFault,
  type ToWorker,
  type WorkerSetup,
} from "./sqlite-protocol.ts";
import { abandonDatabase, databaseFault, isIoError, openDatabase } from "./sqlite-schema.ts";
import { createTables, type Effects, type Tables, type TakeOctets } from "./sqlite-tables.ts";

/** Octets written to the log before it is folded into the database. */
const walOctetsWanted = 8 * 1024 * 1024;
/** What a transaction costs in the log beside the octets of its messages; an estimate, in octets an operation. */
const walOctetsPerOperation = 16 * 1024;

const port = parentPort!;
const { folder } = workerData as WorkerSetup;
const bodiesFolder = join(folder, "bodies");
const databasePath = join(folder, "spool.db");
const holderPath = join(folder, "spool.pid");

function start(): void {
  let database: DatabaseSync;
  let tables: Tables;
  let recovery: Recovery;
  try {
    database = openDatabase(databasePath, describeHolder);
    tables = createTables(database, bodiesFolder);
    writeFileSync(holderPath, `${process.pid}\n`);
    recovery = recoverBodies(tables);
  } catch (error) {
    send({ kind: "refused", fault: asData(databaseFault("open the spool", error)) });
    return;
  }
  const store = createStore(database, tables);
  send({ kind: "opened", counts: store.counts(), recovery });
  port.on("message", (message: ToWorker) => {
    if (message.kind === "batch") {
      const results = store.run(message);
      send({ kind: "results", results, counts: store.counts() }, transferOf(results));
      store.checkpoint();
      return;
    }
    store.close();
    send({ kind: "closed" });
    port.close();
  });
}

function createStore(database: DatabaseSync, tables: Tables) {
  const begin = database.prepare("BEGIN");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");
  const savepoint = database.prepare("SAVEPOINT operation");
  const release = database.prepare("RELEASE operation");
  const rollbackTo = database.prepare("ROLLBACK TO operation");
  let counts = tables.count();
  let walOctets = 0;
  /** Set by an I/O error, for good: after a failed sync the kernel may call lost pages clean, so only a fresh start is believed. */
  let broken: StoredFault | undefined;

  function giveUp(fault: StoredFault): void {
    if (broken) return;
    broken = fault;
    abandonDatabase(database, databasePath);
    send({ kind: "broken", fault });
  }

  /**
   * Does them all in one transaction. `apart`: one that fails undoes itself alone; that costs each of them something, so it is for the second try. Without it a
   * failure undoes them all, and undefined is given.
   */
  function commitAll({ operations, octets }: Batch, { apart }: { readonly apart: boolean }): Result[] | undefined {
    let at = 0;
    const take: TakeOctets = (length) => new Uint8Array(octets, (at += length) - length, length);
    const results: Result[] = [];
    const done: Effects = { messages: 0, recipients: 0, bodyFiles: [] };
    begin.run();
    for (const operation of operations) {
      const from = at;
      const effects: Effects = { messages: 0, recipients: 0, bodyFiles: [] };
      if (apart) savepoint.run();
      try {
        results.push({ value: tables.apply(operation, take, effects) });
        if (apart) release.run();
        done.messages += effects.messages;
        done.recipients += effects.recipients;
        done.bodyFiles.push(...effects.bodyFiles);
      } catch (error) {
        // SQLite ends the transaction by itself where it must; then nothing of the batch stands.
        if (!database.isTransaction || isIoError(error)) throw error;
        if (!apart) {
          rollback.run();
          return undefined;
        }
        rollbackTo.run();
        release.run();
        results.push({ fault: asData(databaseFault(describeWork(operation.kind), error)) });
        at = from + octetsOf(operation);
      }
    }
    const filesGone = done.bodyFiles.filter((file) => !tables.hasBodyFile(file));
    passCrashPoints(operations, "before-commit");
    commit.run();
    passCrashPoints(operations, "committed");
    counts = { messages: counts.messages + done.messages, recipients: counts.recipients + done.recipients };
    for (const file of filesGone) removeBody(file);
    return results;
  }

  return {
    counts: () => counts,
    run(batch: Batch): Result[] {
      walOctets += batch.octets.byteLength + walOctetsPerOperation * batch.operations.length;
      if (broken) return failAll(batch, broken);
      try {
        return commitAll(batch, { apart: false }) ?? commitAll(batch, { apart: true })!;
      } catch (error) {
        const fault = asData(databaseFault("commit to the spool", error));
        if (isIoError(error)) giveUp(fault);
        try {
          if (!broken && database.isTransaction) rollback.run();
        } catch (rollbackError) {
          giveUp(asData(databaseFault("roll back", rollbackError)));
        }
        return failAll(batch, fault);
      }
    },
    /** Folds the log into the database when it has grown; after the answer, so that nobody waits for it. */
    checkpoint(): void {
      if (walOctets < walOctetsWanted || broken) return;
      walOctets = 0;
      try {
        database.exec("PRAGMA wal_checkpoint(PASSIVE)");
      } catch (error) {
        const fault = asData(databaseFault("fold the log into the spool", error));
        if (isIoError(error)) giveUp(fault);
        send({ kind: "checkpoint-failed", fault });
      }
    },
    close(): void {
      // Closing folds the log in.
      if (!broken) database.close();
      unlinkQuietly(holderPath);
    },
  };
}

function passCrashPoints(operations: readonly Operation[], moment: "before-commit" | "committed"): void {
  if (armedCrashPoint === null) return;
  for (const { kind } of operations)
    if (kind === "accept" || kind === "record" || kind === "replace") crashPoint(`spool.${kind}.${moment}`);
}

/** Octets an operation packed, so that the next one finds its own even when this one failed half-way. */
function octetsOf(operation: Operation): number {
  let octets = 0;
  for (const { headerOctets, separatorOctets, bodyOctets, bodyFile } of messagesOf(operation)) {
    octets += headerOctets + separatorOctets + (bodyFile === null ? bodyOctets : 0);
  }
  return octets;
}

function describeWork(kind: Operation["kind"]): string {
  return {
    accept: "accept a message",
    record: "record an attempt",
    recordAll: "record changes",
    replace: "replace a message",
    load: "load a message",
    find: "find a message",
    list: "list messages",
    query: "select messages",
  }[kind];
}

function failAll({ operations }: Batch, fault: StoredFault): Result[] {
  return operations.map(() => ({ fault }));
}

/** Body files no row refers to go: their message was never accepted, or was done with. Rows whose file is gone are told, and stay. */
function recoverBodies(tables: Tables): Recovery {
  crashPoint("spool.recovery");
  const wanted = tables.bodyFiles();
  const present = new Set(readdirSync(bodiesFolder).filter((name) => bodyFilePattern.test(name)));
  let orphansRemoved = 0;
  for (const name of present) {
    if (wanted.has(name)) continue;
    unlinkSync(join(bodiesFolder, name));
    orphansRemoved += 1;
  }
  const bodiesMissing = [...wanted]
    .filter(([file]) => !present.has(file))
    .map(([file, messageId]) => ({ messageId, file }));
  return { orphansRemoved, bodiesMissing };
}

function removeBody(file: string): void {
  unlinkQuietly(join(bodiesFolder, file));
}

/** What cannot be removed now is an orphan at the next start. */
function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {}
}

function describeHolder(): string {
  let holder = "";
  try {
    holder = readFileSync(holderPath, "utf8").trim();
  } catch {}
  return /^\d+$/.test(holder) ? `the process ${holder} has it open` : "another process has it open";
}

function asData(fault: Fault): StoredFault {
  return { code: fault.code, message: fault.message };
}

function transferOf(results: readonly Result[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  for (const result of results) {
    if (!("value" in result) || result.value === undefined || !("body" in result.value)) continue;
    const { header, separator, body } = result.value;
    for (const octets of [header, separator, body])
      if (octets.byteLength > 0) buffers.push(octets.buffer as ArrayBuffer);
  }
  return buffers;
}

function send(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

start();
