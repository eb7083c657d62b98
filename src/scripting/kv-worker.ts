/**
 * The thread that holds the scripts' store. It takes batches: all operations of a batch become one transaction, answered after COMMIT. An operation
 * that cannot be done is answered so and leaves nothing behind; where SQLite itself fails, nothing of the batch stands and the thread ends.
 */
import { parentPort, workerData } from "node:worker_threads";
import { describeThrown, Fault, type FaultCode } from "../platform/fault.ts";
import { createKvTables, type KvOperation, type KvResult, type KvTables, openKvDatabase } from "./kv-tables.ts";

export interface KvBatch {
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
  readonly operations: readonly KvOperation[];
}

export type KvAnswer =
  | { readonly value: KvResult }
  | { readonly fault: { readonly code: FaultCode; readonly message: string } };

export type ToKvWorker = KvBatch | "close";
export type FromKvWorker =
  | { readonly kind: "opened" }
  | { readonly kind: "answers"; readonly answers: readonly KvAnswer[] }
  /** It ends with that. */
  | { readonly kind: "failed"; readonly reason: string };

/** How often what is out of time is taken away. */
const purgeEveryMs = 60_000;

const port = parentPort!;
const send = (message: FromKvWorker) => port.postMessage(message);

function start(path: string): void {
  try {
    const database = openKvDatabase(path);
    const tables = createKvTables(database);
    let purgedAt = Number.NEGATIVE_INFINITY;
    const run = ({ nowMs, operations }: KvBatch) => {
      database.exec("BEGIN");
      const answers = operations.map((operation) => answer(tables, operation, nowMs));
      if (Math.abs(nowMs - purgedAt) >= purgeEveryMs) {
        tables.purge(nowMs);
        purgedAt = nowMs;
      }
      database.exec("COMMIT");
      send({ kind: "answers", answers });
    };
    send({ kind: "opened" });
    port.on("message", (message: ToKvWorker) => {
      if (message === "close") {
        database.close();
        port.close();
        return;
      }
      try {
        run(message);
      } catch (error) {
        fail(error);
        // What was not committed is gone with the connection; the next thread reads what stands on the disk.
        try {
          database.close();
        } catch {}
      }
    });
  } catch (error) {
    fail(error);
  }
}

function answer(tables: KvTables, operation: KvOperation, nowMs: number): KvAnswer {
  try {
    return { value: tables.apply(operation, nowMs) };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { fault: { code: error.code, message: error.message } };
  }
}

function fail(error: unknown): void {
  send({ kind: "failed", reason: describeThrown(error) });
  port.close();
}

// The one who starts it gives the path.
start((workerData as { readonly path: string }).path);
