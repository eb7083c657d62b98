/**
 * The pickup folder: a message that is put there as a file is sent. docs/folders.md tells the rules. A file is removed only behind custody: what is killed in
 * between is found again, and sent again only where its message has left the queue meanwhile. What cannot be sent is in badmail, to the octet.
 */
import { type FSWatcher, watch } from "node:fs";
import { createId } from "../mail/ids.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { BadMail } from "../spool/badmail.ts";
import type { Spool } from "../spool/spool.ts";
import type { Entrance, SubmitResult } from "./entrance.ts";
import { type Claim, claimFile, findClaims, readClaim, removeClaim } from "./pickup-claim.ts";
import { addressedByPickup } from "./pickup-envelope.ts";
import { PickupLook, settleMs } from "./pickup-look.ts";

export interface PickupOptions {
  readonly folder: string;
  readonly entrance: Pick<Entrance, "submit" | "short">;
  readonly badmail: Pick<BadMail, "keepFile" | "has">;
  readonly spool: Pick<Spool, "find">;
  readonly clock: Clock;
  readonly log: Log;
  /** Tells of changes in a folder, until it is closed or fails; where that cannot be had, looking now and then will do. */
  readonly watchFolder?: (folder: string, told: Watching) => { close(): void };
}

export interface Watching {
  onChange(): void;
  onFailure(): void;
}

/** Between two looks where nothing tells of changes. */
const lookEveryMs = 10_000;
/** Behind a change: others may follow it. */
const lookSoonMs = 100;
/** Files that are read at the same time. */
const workersMax = 4;
/** Files that are deferred and wait; while there are more no others are claimed. */
const waitingMax = 1_000;
/** Waits of a deferred file, each twice the one before. */
const retryFirstMs = 10_000;
const retryMaxMs = 30 * 60_000;
/** About five days. */
const attemptsMax = 250;
/** Names of files that were complained of. */
const namesKeptMax = 10_000;

interface Job extends Claim {
  readonly attempts: number;
  /** It was claimed by a server before this one, which may have got further with it. */
  readonly found: boolean;
}

export class Pickup {
  readonly #options: PickupOptions;
  readonly #look: PickupLook;
  /** Settled, and not claimed yet. */
  readonly #ready = new Set<string>();
  /** Claimed, and waiting for a worker. */
  readonly #jobs: Job[] = [];
  readonly #workers = new Set<Promise<void>>();
  /** What ends the wait of each deferred file. */
  readonly #waits = new Set<() => void>();
  readonly #named = new Set<string>();
  #watcher: { close(): void } | null = null;
  #cancelLook: (() => void) | null = null;
  /** When it comes; on the clock that never goes back. */
  #lookAtMs = Number.POSITIVE_INFINITY;
  #looking: Promise<void> | null = null;
  #lookAgain = false;
  #isMissing = false;
  #stopped = false;

  constructor(options: PickupOptions) {
    this.#options = options;
    this.#look = new PickupLook(options.folder);
  }

  /** Makes the folder where it is missing, takes up what a server before left, and begins to look. @throws {Fault} `data.unusable` */
  async start(): Promise<void> {
    const { folder } = this.#options;
    await makeFolderDurably(folder).catch((error: unknown) => {
      throw new Fault("data.unusable", `Cannot use the pickup folder ${folder}: ${describeThrown(error)}`, {
        cause: error,
      });
    });
    for (const claim of await findClaims(folder)) this.#jobs.push({ ...claim, attempts: 0, found: true });
    await this.look();
  }

  /** Takes no more files; waits for those in hand, but not for ever. Those and the deferred ones are taken up at the next start. */
  async stop(deadlineMs = 30_000): Promise<void> {
    this.#stopped = true;
    this.#watcher?.close();
    this.#watcher = null;
    this.#cancelLook?.();
    for (const cancel of this.#waits) cancel();
    const deadline = new Promise<void>((resolve) => void this.#options.clock.after(deadlineMs, resolve));
    await Promise.race([deadline, Promise.all([this.#looking, ...this.#workers])]);
  }

  /** Looks now, or once more where a look is under way. Never throws. */
  look(): Promise<void> {
    if (this.#looking) this.#lookAgain = true;
    return (this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = null;
      if (this.#lookAgain) this.#planLook(lookSoonMs);
      this.#lookAgain = false;
    }));
  }

  /** Resolves when no file is being worked on. */
  async idle(): Promise<void> {
    while (this.#workers.size > 0) await Promise.all(this.#workers);
  }

  async #lookOnce(): Promise<void> {
    this.#cancelLook?.();
    this.#lookAtMs = Number.POSITIVE_INFINITY;
    if (this.#stopped) return;
    const { clock, folder, log } = this.#options;
    try {
      const found = await this.#look.look(clock.monotonicMs(), (name) => this.#ready.has(name));
      if (this.#isMissing) log.info("pickup.folder-back", { folder });
      this.#isMissing = false;
      this.#watch();
      for (const { name, reason } of found.refused) this.#complain(name, reason);
      for (const name of found.ready) this.#ready.add(name);
      this.#planLook(found.pending ? settleMs : lookEveryMs);
    } catch (error) {
      if (!this.#isMissing) log.warn("pickup.folder-missing", { folder, reason: describeThrown(error) });
      this.#isMissing = true;
      this.#watcher?.close();
      this.#watcher = null;
      this.#planLook(lookEveryMs);
    }
    this.#work();
  }

  /** At the latest then: one that comes sooner stays as it is, or changes without end would put it off without end. */
  #planLook(delayMs: number): void {
    const { clock } = this.#options;
    const atMs = clock.monotonicMs() + delayMs;
    if (this.#stopped || atMs >= this.#lookAtMs) return;
    this.#cancelLook?.();
    this.#lookAtMs = atMs;
    this.#cancelLook = clock.after(delayMs, () => void this.look());
  }

  #watch(): void {
    const { folder, log, watchFolder = watchBySystem } = this.#options;
    if (this.#watcher || this.#stopped) return;
    try {
      this.#watcher = watchFolder(folder, {
        onChange: () => this.#planLook(lookSoonMs),
        onFailure: () => {
          this.#watcher = null;
        },
      });
    } catch (error) {
      log.debug("pickup.not-watched", { folder, reason: describeThrown(error) });
    }
  }

  /** Sets as many workers to work as there is work and room for. */
  #work(): void {
    while (!this.#stopped && this.#workers.size < workersMax) {
      const work = this.#next();
      if (work === null) return;
      const worker = work.finally(() => {
        this.#workers.delete(worker);
        this.#work();
      });
      this.#workers.add(worker);
    }
  }

  #next(): Promise<void> | null {
    const job = this.#jobs.shift();
    if (job) return this.#do(job);
    const [name] = this.#ready;
    // A file that waits in its folder waits best.
    if (name === undefined || this.#waits.size >= waitingMax || this.#options.entrance.short() !== null) {
      this.#ready.clear();
      return null;
    }
    this.#ready.delete(name);
    return this.#claim(name);
  }

  async #claim(name: string): Promise<void> {
    const { folder, clock } = this.#options;
    let claim: Claim;
    try {
      claim = await claimFile(folder, name, createId(clock.now()));
    } catch (error) {
      // Whoever put it there may have taken it away again.
      if ((((error as Error).cause ?? {}) as NodeJS.ErrnoException).code !== "ENOENT")
        this.#complain(name, describeThrown(error));
      return;
    }
    crashPoint("pickup.claimed");
    await this.#do({ ...claim, attempts: 0, found: false });
  }

  /** Never throws: what went wrong is tried again. */
  async #do(job: Job): Promise<void> {
    try {
      await this.#submit(job);
    } catch (error) {
      this.#options.log.error("pickup.failed", { message: job.id, file: job.name, reason: describeThrown(error) });
      this.#wait(job);
    }
  }

  async #submit(job: Job): Promise<void> {
    const { spool, badmail, log, entrance } = this.#options;
    if (job.found && ((await spool.find(job.id)) !== undefined || (await badmail.has(job.id)))) {
      log.info("pickup.found-again", { message: job.id, file: job.name });
      return await this.#remove(job);
    }
    const result = await entrance.submit({
      origin: "pickup",
      id: job.id,
      envelope: addressedByPickup,
      octets: readClaim(job),
      facts: { file: job.name },
    });
    if (result.kind === "deferred" && job.attempts + 1 < attemptsMax) this.#wait(job);
    else if (result.kind === "deferred" || result.kind === "refused") await this.#toBadMail(job, result);
    else {
      crashPoint("pickup.accepted");
      await this.#remove(job);
    }
  }

  /** Nobody is there to be told: it is kept with the reason. */
  async #toBadMail(job: Job, { reason, fault }: Extract<SubmitResult, { readonly reason: string }>): Promise<void> {
    const { badmail, clock, log } = this.#options;
    try {
      const at = clock.now();
      await badmail.keepFile(job.path, {
        id: job.id,
        file: job.name,
        origin: "pickup",
        reason,
        binding: null,
        fault,
        at,
      });
    } catch (error) {
      log.error("pickup.not-kept", { message: job.id, file: job.name, reason: describeThrown(error) });
      return this.#wait(job);
    }
    log.warn("pickup.to-badmail", { message: job.id, file: job.name, reason, fault });
    await this.#remove(job);
  }

  async #remove(job: Job): Promise<void> {
    try {
      await removeClaim(job);
      crashPoint("pickup.removed");
    } catch (error) {
      this.#options.log.error("pickup.not-removed", { message: job.id, path: job.path, reason: describeThrown(error) });
    }
  }

  #wait(job: Job): void {
    if (this.#stopped) return;
    const delayMs = Math.min(retryFirstMs * 2 ** job.attempts, retryMaxMs);
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#waits.delete(cancel);
      this.#jobs.push({ ...job, attempts: job.attempts + 1 });
      this.#work();
    });
    this.#waits.add(cancel);
  }

  /** One line for a file and what is wrong with it, however often it is looked at. */
  #complain(name: string, reason: string): void {
    const key = `${name}\n${reason}`;
    if (this.#named.has(key)) return;
    if (this.#named.size >= namesKeptMax) this.#named.clear();
    this.#named.add(key);
    this.#options.log.warn("pickup.refused", { file: name, reason });
  }
}

function watchBySystem(folder: string, { onChange, onFailure }: Watching): FSWatcher {
  const watcher = watch(folder, { persistent: false }, onChange);
  watcher.on("error", () => {
    watcher.close();
    onFailure();
  });
  return watcher;
}
