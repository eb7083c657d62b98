/** The queue in the operator's hands: what it shows, and what can be changed. What an attempt has in hand is left alone, and said to be. */
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { isLastPage } from "../spool/page.ts";
import type { SpoolSelection } from "../spool/selection.ts";
import type { QueueEntry, RecipientUpdate, SelectedEntry, Spool, StoredRecipient } from "../spool/spool.ts";
import { heldPrefix, type Outcome, settleExpired } from "./attempt.ts";
import { type Attempts, type Hand, withUpdate } from "./attempts.ts";
import type { Book } from "./book.ts";
import type { Teller } from "./consequences.ts";
import { describeItem, type QueueItem } from "./listing.ts";
import type { MessageCache } from "./message-cache.ts";
import { changedIdsMax, type QueueChange, type QueuePage, type QueueSelection, toSpoolSelection } from "./selection.ts";
import { type Item, type Unit, unresolved, withPending } from "./work.ts";

/** Messages changed in one commit: mail that comes in meanwhile waits for no more than that. */
const chunkMax = 500;
/** Messages that are failed and reported at one time: the spool keeps them in one commit. */
const bouncedMax = 50;
const limitDefault = 1_000;

export interface ChangeOptions {
  /** Says what would be done and does nothing. */
  readonly dryRun?: boolean;
}

export type Verb = "retry" | "hold" | "release" | "remove" | "requeue" | "bounce";

/** One message of which something is to be changed, its units out of their lanes. */
interface Target {
  readonly entry: QueueEntry;
  readonly item: Item;
  readonly units: readonly Unit[];
  readonly places: ReadonlySet<number>;
}

export interface OperatorParts {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly log: Log;
  readonly book: Book;
  readonly attempts: Attempts;
  readonly cache: MessageCache;
  readonly teller: Teller;
  /** Resolves when every message is in the book. */
  readonly known: Promise<void>;
}

export class Operator {
  readonly #parts: OperatorParts;
  /** One change after the other. */
  #last: Promise<unknown>;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    this.#last = parts.known;
  }

  /** When what is under way is over. */
  get idle(): Promise<unknown> {
    return this.#last.catch(() => {});
  }

  async list(selection: QueueSelection, { limit = limitDefault, offset = 0 }): Promise<QueuePage> {
    const meant = this.#meant(selection);
    const items: QueueItem[] = [];
    for (;;) {
      const page = { limit: limit - items.length, offset: offset + items.length };
      const { entries, total } = await this.#parts.spool.query(meant, page);
      for (const entry of entries) {
        const queued = entry.recipients.filter(({ state }) => state === "queued");
        items.push(this.#describe({ ...entry, recipients: queued }));
      }
      if (isLastPage(entries, page.limit) || items.length >= limit) return { items, total };
    }
  }

  async show(messageId: string): Promise<QueueItem | undefined> {
    const entry = await this.#parts.spool.find(messageId);
    return entry && this.#describe(entry);
  }

  /** @param words `hold`: why; `bounce`: what the sender is told */
  async change(
    verb: Verb,
    selection: QueueSelection,
    options: ChangeOptions & { readonly words?: string },
  ): Promise<QueueChange> {
    const done = this.#last.then(
      () => this.#change(verb, selection, options),
      () => this.#change(verb, selection, options),
    );
    this.#last = done;
    return await done;
  }

  #describe(entry: QueueEntry): QueueItem {
    const { book } = this.#parts;
    const item = book.items.get(entry.messageId);
    const running = new Set(
      item?.units
        .filter(({ state }) => state === "running")
        .flatMap(({ pending }) => pending.map(({ index }) => index)),
    );
    const recipients = withPending(entry, item).map((recipient) => ({
      ...recipient,
      destination: recipient.state === "queued" ? book.laneOf(recipient) : null,
      running: running.has(recipient.index),
    }));
    return describeItem(entry, recipients);
  }

  /** The selection as the spool can answer it: what it cannot know is named, recipient by recipient. */
  #meant(selection: QueueSelection): SpoolSelection {
    const meant = toSpoolSelection(selection, this.#parts.clock.now());
    const { destination, state } = selection;
    if (destination === undefined && state !== "running") return meant;
    const among: [string, number][] = [];
    for (const { messageId, units } of this.#parts.book.items.values()) {
      for (const unit of units) {
        if (destination !== undefined && unit.laneName !== destination) continue;
        if (state === "running" && unit.state !== "running") continue;
        for (const { index } of unit.pending) among.push([messageId, index]);
      }
    }
    return { ...meant, among };
  }

  async *#pages(selection: QueueSelection): AsyncIterable<{ meant: SpoolSelection; entries: SelectedEntry[] }> {
    const meant = this.#meant(selection);
    if (meant.among) {
      for (let at = 0; at < meant.among.length; at += chunkMax) {
        const part = { ...meant, among: meant.among.slice(at, at + chunkMax) };
        for await (const entries of this.#read(part)) yield { meant: part, entries };
      }
      return;
    }
    for await (const entries of this.#read(meant)) yield { meant, entries };
  }

  /** Page after page of what is meant. */
  async *#read(meant: SpoolSelection): AsyncIterable<SelectedEntry[]> {
    for (let after: SelectedEntry | undefined; ; ) {
      const { entries } = await this.#parts.spool.query(meant, { limit: chunkMax, after });
      if (entries.length > 0) yield entries;
      if (isLastPage(entries, chunkMax)) return;
      after = entries.at(-1);
    }
  }

  async #change(
    verb: Verb,
    selection: QueueSelection,
    { dryRun = false, words = "" }: ChangeOptions & { readonly words?: string },
  ): Promise<QueueChange> {
    const ids = new Set<string>();
    let recipients = 0;
    const skipped: { readonly id: string; readonly reason: string }[] = [];
    /** Reports that came of this change are not meant by it. */
    const reported = new Set<string>();
    for await (const { meant, entries: found } of this.#pages(selection)) {
      const entries = found.filter(({ messageId }) => !reported.has(messageId));
      const targets = dryRun
        ? entries.flatMap((entry) => this.#targetOf(verb, entry, skipped))
        : await this.#takeAll(verb, meant, entries, skipped);
      let changed: readonly Target[] = targets;
      if (!dryRun && targets.length > 0) {
        if (verb === "bounce") changed = await this.#bounce(targets, words, { skipped, reported });
        else await this.#apply(verb, targets, words);
      }
      for (const { entry, places } of changed) {
        ids.add(entry.messageId);
        recipients += places.size;
      }
    }
    const change = { messages: ids.size, recipients, ids: [...ids].slice(0, changedIdsMax), skipped };
    if (!dryRun)
      this.#parts.log.info("queue.changed", {
        change: verb,
        messages: change.messages,
        recipients,
        skipped: skipped.length,
      });
    return change;
  }

  /** Takes what is meant out of its lanes, and reads it again: what was read before may have been tried since. */
  async #takeAll(
    verb: Verb,
    meant: SpoolSelection,
    entries: readonly SelectedEntry[],
    skipped: { readonly id: string; readonly reason: string }[],
  ): Promise<Target[]> {
    const { book, clock } = this.#parts;
    const taken = new Map<string, readonly Unit[]>();
    for (const entry of entries) {
      for (const { item, units } of this.#targetOf(verb, entry, skipped)) {
        for (const unit of units) book.lanes.take(unit, "changing", clock.now());
        taken.set(item.messageId, units);
      }
    }
    if (taken.size === 0) return [];
    const targets: Target[] = [];
    try {
      for await (const entries of this.#read({ ...meant, ids: [...taken.keys()] })) {
        for (const entry of entries) {
          const units = taken.get(entry.messageId)!;
          const item = units[0]!.item;
          const places = placesOf(verb, entry, units);
          if (places.size > 0) targets.push({ entry, item, units, places });
        }
      }
    } finally {
      const wanted = new Set(targets.flatMap(({ units }) => units));
      for (const units of taken.values()) for (const unit of units) if (!wanted.has(unit)) book.keep(unit);
    }
    return targets;
  }

  /** None where nothing of it can be changed. */
  #targetOf(verb: Verb, entry: SelectedEntry, skipped: { readonly id: string; readonly reason: string }[]): Target[] {
    const item = this.#parts.book.items.get(entry.messageId);
    if (!item) return [];
    const wanted = new Set(entry.meant);
    const touched = item.units.filter(
      ({ pending }) => verb === "requeue" || pending.some(({ index }) => wanted.has(index)),
    );
    const free = touched.filter(({ state }) => state === "waiting");
    const isBusy = free.length < touched.length;
    if (isBusy) skipped.push({ id: entry.messageId, reason: "an attempt is under way" });
    if (isBusy && verb === "requeue") return [];
    const places = placesOf(verb, entry, free);
    return places.size > 0 ? [{ entry, item, units: free, places }] : [];
  }

  async #apply(verb: Exclude<Verb, "bounce">, targets: readonly Target[], words: string): Promise<void> {
    const { book, cache, clock, spool, teller } = this.#parts;
    const now = clock.now();
    const changes = targets.map((target) => ({
      messageId: target.item.messageId,
      updates: target.entry.recipients
        .filter(({ index }) => target.places.has(index))
        .map((recipient) =>
          updateOf(verb, recipient, {
            now,
            words,
            categorized: target.units.every(({ laneName }) => laneName !== unresolved),
          }),
        ),
    }));
    try {
      await spool.recordAll(changes);
    } catch (error) {
      for (const { units } of targets) for (const unit of units) book.keep(unit);
      throw error;
    }
    targets.forEach((target, place) => {
      const { entry, item, units } = target;
      // What is in memory for a first attempt may not get one now; it is read again where it does.
      cache.take(item.messageId);
      const updates = new Map(changes[place]!.updates.map((update) => [update.index, update]));
      const recipients = withPending(entry, item)
        .map((recipient) => withUpdate(recipient, updates.get(recipient.index)))
        .filter(({ state }) => state === "queued");
      if (verb === "remove") this.#tellRemoved(target);
      if (verb === "requeue") {
        book.regroup(item, recipients, false);
        return;
      }
      for (const unit of units) {
        // Who says "now" knows that the destination is back.
        if (verb === "retry") book.lanes.get(unit.laneName)?.answered();
        const own = new Set(unit.pending.map(({ index }) => index));
        const rest = recipients.filter(({ index }) => own.has(index));
        if (book.settle(unit, rest, unit.laneName !== unresolved)) teller.track(item.messageId, "finished");
      }
    });
  }

  /** Gives what was failed; what could not be is skipped, and stays as it was. */
  async #bounce(
    targets: readonly Target[],
    words: string,
    told: { readonly skipped: { readonly id: string; readonly reason: string }[]; readonly reported: Set<string> },
  ): Promise<Target[]> {
    const { attempts, book } = this.#parts;
    const failed: Target[] = [];
    let next = 0;
    const goOn = async () => {
      for (let target = targets[next++]; target; target = targets[next++]) {
        const places = new Set<number>();
        for (const unit of target.units) {
          try {
            const hand = await attempts.take(unit);
            if (!hand) throw new Error("it cannot be read");
            for (const { id } of await this.#bounceOne(hand, target.places, words)) told.reported.add(id);
            for (const { index } of hand.recipients) if (target.places.has(index)) places.add(index);
          } catch (error) {
            told.skipped.push({ id: target.item.messageId, reason: describeThrown(error) });
            if (unit.state === "changing") book.keep(unit);
          }
        }
        if (places.size > 0) failed.push({ ...target, places });
      }
    };
    await Promise.all(Array.from({ length: Math.min(bouncedMax, targets.length) }, goOn));
    return failed;
  }

  async #bounceOne(hand: Hand, places: ReadonlySet<number>, words: string): Promise<readonly Message[]> {
    const { attempts, clock } = this.#parts;
    const meant = hand.recipients.filter(({ index }) => places.has(index));
    const settlements = settleExpired(meant, { nextHop: "", reason: "", now: clock.now() }).map(
      ({ recipient, update }) => {
        const outcome = bounceOf(recipient, words);
        return { recipient, outcome, update: { ...update, lastOutcome: outcome.reason } };
      },
    );
    return await attempts.settle(hand, settlements, { categorized: hand.unit.laneName !== unresolved, atOnce: true });
  }

  /** Nobody else hears of it: the log has all there is to know. */
  #tellRemoved({ entry, places }: Target): void {
    const { log, teller } = this.#parts;
    const { messageId, reversePath, receivedAt, sizeOctets, recipients } = entry;
    const gone = recipients.filter(({ index }) => places.has(index));
    log.warn("queue.removed", {
      message: messageId,
      from: reversePath,
      to: gone.map(({ mailbox }) => formatMailbox(mailbox)),
      outcomes: gone.map(({ lastOutcome }) => lastOutcome),
      receivedAt: new Date(receivedAt).toISOString(),
      sizeOctets,
    });
    teller.track(messageId, "discarded", { reason: "removed by the operator", recipients: places.size });
  }
}

/** Places of the recipients a change is for, among those of these units. A message that is not resolved yet is changed as a whole. */
function placesOf(verb: Verb, { recipients, meant }: SelectedEntry, units: readonly Unit[]): ReadonlySet<number> {
  const isWhole = verb === "requeue" || ((verb === "hold" || verb === "release") && units[0]?.laneName === unresolved);
  const wanted = new Set(meant);
  const places = units
    .flatMap(({ pending }) => pending.map(({ index }) => index))
    .filter((place) => isWhole || wanted.has(place))
    .filter((place) => {
      const recipient = recipients[place];
      if (recipient?.state !== "queued") return false;
      if (verb === "release") return recipient.heldBy !== undefined;
      return !(verb === "retry" || verb === "requeue") || recipient.heldBy !== "operator";
    });
  return new Set(places);
}

function updateOf(
  verb: Exclude<Verb, "bounce">,
  recipient: StoredRecipient,
  { now, words, categorized }: { readonly now: number; readonly words: string; readonly categorized: boolean },
): RecipientUpdate {
  const { index, attempts, heldBy, lastOutcome } = recipient;
  const given: RecipientUpdate = { index, state: "queued", attempts, nextAttemptAt: now, lastOutcome, categorized };
  switch (verb) {
    case "retry":
      return heldBy ? { ...given, heldBy } : given;
    case "hold":
      return { ...given, heldBy: "operator", ...(words ? { lastOutcome: heldPrefix + words } : {}) };
    case "release":
      return given;
    case "remove":
      return { ...given, state: "failed", lastOutcome: "removed by the operator" };
    case "requeue":
      return { ...given, ...(heldBy ? { heldBy } : {}), categorized: false };
  }
}

function bounceOf({ index }: StoredRecipient, words: string): Outcome {
  const reason = "failed by the operator";
  const text = words.replace(/[\x00-\x1f\x7f]+/g, " ").trim();
  const reply = text === "" ? null : { code: 550, status: "5.0.0", text };
  return { index, kind: "failed", nextHop: "", reply, reason, status: "5.0.0" };
}
