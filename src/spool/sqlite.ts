/**
 * The durable spool: SQLite on a thread of its own, large bodies in files beside it. Everything asked for while a commit is under way goes into the
 * next one, so that the cost of a sync is shared by all who wait for it.
 */
import { basename, dirname, join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { type Body, inlineBody, type Message } from "../mail/message.ts";
import { type Clock, systemClock } from "../platform/clock.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { bodyFilePattern, createBodyFile, fileBody, storageFault } from "./body-file.ts";
import {
  type BodyWriter,
  inlineBodyOctetsMax,
  type QueueEntry,
  type RecipientUpdate,
  type Spool,
  type SpoolCounts,
} from "./spool.ts";
import type {
  FromWorker,
  LoadedMessage,
  Operation,
  Result,
  Selected,
  ToWorker,
  Value,
  WorkerSetup,
} from "./sqlite-protocol.ts";
import { decodeMessage, encodeMessage, type StoredMessage } from "./stored-message.ts";

/** Bounds of one commit: what is above waits for the next. */
const batchOperationsMax = 512;
const batchOctetsMax = 32 * 1024 * 1024;

/** So long a failure counts: a server that is called unready gets no mail, and without mail it would not find out that it is well again. */
const failingMs = 30_000;

interface Waiting {
  readonly operation: Operation;
  readonly pieces: readonly Buffer[];
  readonly octets: number;
  readonly resolve: (value: Value) => void;
  readonly reject: (fault: Fault) => void;
}

/**
 * Opens the spool in `folder` (`spool.db`, `bodies/`), which is made where it is missing, and recovers what a crash left: the log is replayed, files no
 * message refers to are removed, messages whose file is gone are told in the log.
 * @throws {Fault} `data.unusable` where another process has it open or it cannot be read; `spool.full`, `spool.failed`
 */
export async function openSqliteSpool(options: {
  readonly folder: string;
  readonly log: Log;
  readonly clock?: Clock;
}): Promise<Spool> {
  const { log, clock = systemClock } = options;
  const folder = resolve(options.folder);
  const bodiesFolder = join(folder, "bodies");
  const startedMs = clock.monotonicMs();
  await makeFolderDurably(bodiesFolder).catch((error: unknown) => {
    throw new Fault("data.unusable", `Cannot use the folder ${folder} for the spool: ${describeThrown(error)}`, {
      cause: error,
    });
  });
  const database = await openDatabaseThread({ folder }, log);
  const { orphansRemoved, bodiesMissing } = database.recovery;
  for (const { messageId, file } of bodiesMissing)
    log.error("spool.body-missing", { message: messageId, file: join(bodiesFolder, file) });
  log.info("spool.opened", {
    ...database.counts(),
    orphansRemoved,
    bodiesMissing: bodiesMissing.length,
    durationMs: Math.round(clock.monotonicMs() - startedMs),
  });

  let failure: { readonly reason: string; readonly atMs: number } | undefined;
  /** Files that are finished and no message's yet. */
  const unclaimed = new Set<string>();

  const fail = (error: unknown) => {
    failure = { reason: describeThrown(error), atMs: clock.monotonicMs() };
  };

  function createBody(): BodyWriter {
    database.checkOpen("create a body");
    return createBodyFile(bodiesFolder, unclaimed, fail);
  }

  /** The body as it can be stored: inline, or a file of ours. What is neither is written anew, by a writer that `writers` remembers. */
  async function placeBody(body: Body, writers: BodyWriter[]): Promise<Body> {
    if (body.file !== undefined && dirname(body.file) === bodiesFolder && bodyFilePattern.test(basename(body.file)))
      return body;
    const writer = createBody();
    writers.push(writer);
    for await (const chunk of body.chunks()) await writer.write(chunk);
    return await writer.finish();
  }

  /** Hands messages over; their files are claimed, and given back where the spool did not take them. */
  async function take(
    messages: readonly Message[],
    operationOf: (stored: readonly StoredMessage[]) => Operation,
  ): Promise<void> {
    const stored: StoredMessage[] = [];
    const pieces: Buffer[] = [];
    const files: string[] = [];
    const writers: BodyWriter[] = [];
    let claimed: readonly string[] = [];
    try {
      for (const message of messages) {
        // No promise on the way of the common message: its body is short.
        const { inline } = message.body;
        const body =
          inline && inline.length <= inlineBodyOctetsMax ? message.body : await placeBody(message.body, writers);
        const encoded = encodeMessage(message, body);
        if (encoded.stored.bodyFile !== null) files.push(encoded.stored.bodyFile);
        stored.push(encoded.stored);
        pieces.push(...encoded.pieces);
      }
      claimed = files.filter((file) => unclaimed.delete(file));
      await database.ask(operationOf(stored), pieces);
    } catch (error) {
      // Where the thread is gone, nobody knows whether it had committed: the next start removes what no message refers to.
      if (!database.hasDied()) for (const file of claimed) unclaimed.add(file);
      for (const writer of writers) await writer.discard();
      throw storageFault("take a message", error);
    }
  }

  return {
    createBody,
    async accept(messages, nextAttemptAt) {
      try {
        database.checkOpen("accept a message");
        await take(messages, (stored) => ({
          kind: "accept",
          messages: stored,
          nextAttemptAt: Math.round(nextAttemptAt),
        }));
        failure = undefined;
      } catch (error) {
        fail(error);
        throw error;
      }
    },
    async load(messageId) {
      const loaded = (await database.ask({ kind: "load", messageId })) as LoadedMessage | undefined;
      return loaded && toMessage(loaded, bodiesFolder);
    },
    async list(page) {
      return (await database.ask({ kind: "list", ...page })) as QueueEntry[];
    },
    async query(selection, page) {
      return (await database.ask({ kind: "query", selection, page })) as Selected;
    },
    async find(messageId, places) {
      const operation = { kind: "find", messageId, ...(places && { places }) } as const;
      return (await database.ask(operation)) as QueueEntry | undefined;
    },
    async record(messageId, updates, reports = []) {
      database.checkOpen("record an attempt");
      await take(reports, (stored) => ({ kind: "record", messageId, updates: rounded(updates), reports: stored }));
    },
    async recordAll(changes) {
      await database.ask({
        kind: "recordAll",
        changes: changes.map((change) => ({ ...change, updates: rounded(change.updates) })),
      });
    },
    async replace({ message, forks, reports, updates, nextAttemptAt }) {
      database.checkOpen("replace a message");
      await take([message, ...forks, ...reports], ([first, ...others]) => ({
        kind: "replace",
        message: first!,
        forks: others.slice(0, forks.length),
        reports: others.slice(forks.length),
        updates: rounded(updates),
        nextAttemptAt: Math.round(nextAttemptAt),
      }));
    },
    counts: database.counts,
    failing: () => (failure && clock.monotonicMs() - failure.atMs < failingMs ? failure.reason : null),
    close: database.close,
  };
}

/** The database takes whole milliseconds alone. */
function rounded(updates: readonly RecipientUpdate[]): RecipientUpdate[] {
  return updates.map((update) => ({ ...update, nextAttemptAt: Math.round(update.nextAttemptAt) }));
}

function toMessage(loaded: LoadedMessage, bodiesFolder: string): Message {
  const body =
    loaded.bodyFile === null
      ? inlineBody(asBuffer(loaded.body))
      : fileBody(join(bodiesFolder, loaded.bodyFile), loaded.bodyOctets);
  return decodeMessage({ ...loaded, header: asBuffer(loaded.header), separator: asBuffer(loaded.separator) }, body);
}

function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
}

/** The thread with the database: operations in, answers out, one batch under way at a time. */
async function openDatabaseThread(setup: WorkerSetup, log: Log) {
  const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url), {
    name: "spool",
    workerData: setup,
    execArgv: [],
    stdin: false,
  });
  const opened = await new Promise<Extract<FromWorker, { kind: "opened" }>>((resolveOpened, reject) => {
    const failed = (error: unknown) =>
      reject(
        new Fault("data.unusable", `Cannot open the spool in ${setup.folder}: ${describeThrown(error)}`, {
          cause: error,
        }),
      );
    worker.once("error", failed);
    worker.once("message", (message: FromWorker) => {
      worker.off("error", failed);
      if (message.kind === "opened") resolveOpened(message);
      else
        void worker
          .terminate()
          .then(() =>
            reject(
              message.kind === "refused"
                ? new Fault(message.fault.code, message.fault.message)
                : new Error(`unexpected ${message.kind}`),
            ),
          );
    });
  });
  let counts: SpoolCounts = opened.counts;
  let waiting: Waiting[] = [];
  let underWay: readonly Waiting[] | undefined;
  let flushPlanned = false;
  let closing: Promise<void> | undefined;
  let died: Fault | undefined;
  let confirmClosed = () => {};

  worker.on("message", (message: FromWorker) => {
    switch (message.kind) {
      case "results":
        counts = message.counts;
        settle(message.results);
        break;
      case "broken":
        log.error("spool.broken", {
          ...message.fault,
          remedy: "mend the disk and restart: nothing is taken until then",
        });
        break;
      case "checkpoint-failed":
        log.error("spool.checkpoint-failed", { ...message.fault });
        break;
      case "closed":
        confirmClosed();
        break;
    }
  });
  worker.on("error", (error) => giveUp(describeThrown(error)));
  worker.on("exit", (code) => {
    if (!closing) giveUp(`its thread ended with ${code}`);
    confirmClosed();
  });

  /** The thread is gone: whatever waits for it fails, and so does what comes. */
  function giveUp(reason: string): void {
    died ??= new Fault("spool.failed", `Cannot use the spool: ${reason}`);
    log.error("spool.failed", { reason });
    const lost = [...(underWay ?? []), ...waiting];
    underWay = undefined;
    waiting = [];
    for (const each of lost) each.reject(died);
    confirmClosed();
  }

  function settle(results: readonly Result[]): void {
    const answered = underWay ?? [];
    underWay = undefined;
    // The next commit starts before anybody acts on this one.
    flush();
    answered.forEach((each, place) => {
      const result = results[place]!;
      if ("fault" in result) each.reject(new Fault(result.fault.code, result.fault.message));
      else each.resolve(result.value);
    });
    if (closing && !underWay) send({ kind: "close" });
  }

  function flush(): void {
    flushPlanned = false;
    if (underWay || waiting.length === 0) return;
    let count = 0;
    let octets = 0;
    while (
      count < waiting.length &&
      count < batchOperationsMax &&
      (count === 0 || octets + waiting[count]!.octets <= batchOctetsMax)
    ) {
      octets += waiting[count]!.octets;
      count += 1;
    }
    underWay = waiting.slice(0, count);
    waiting = waiting.slice(count);
    const packed = new Uint8Array(octets);
    let at = 0;
    for (const { pieces } of underWay) {
      for (const piece of pieces) {
        packed.set(piece, at);
        at += piece.length;
      }
    }
    send({ kind: "batch", operations: underWay.map(({ operation }) => operation), octets: packed.buffer }, [
      packed.buffer,
    ]);
  }

  function send(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    worker.postMessage(message, transfer);
  }

  function checkOpen(work: string): void {
    if (closing) throw new Fault("spool.closed", `Cannot ${work}: the spool is closed`);
    if (died) throw died;
  }

  return {
    recovery: opened.recovery,
    counts: () => counts,
    hasDied: () => died !== undefined,
    checkOpen,
    async ask(operation: Operation, pieces: readonly Buffer[] = []): Promise<Value> {
      checkOpen("use the spool");
      return new Promise<Value>((resolveValue, reject) => {
        let octets = 0;
        for (const piece of pieces) octets += piece.length;
        waiting.push({ operation, pieces, octets, resolve: resolveValue, reject });
        if (underWay || flushPlanned) return;
        flushPlanned = true;
        queueMicrotask(flush);
      });
    },
    close(): Promise<void> {
      closing ??= new Promise<void>((resolveClosed) => {
        confirmClosed = () => {
          void worker.terminate().then(() => resolveClosed());
        };
        if (died) confirmClosed();
        else if (!underWay && waiting.length === 0) send({ kind: "close" });
      });
      return closing;
    },
  };
}
