/**
 * Lanes: work waits in the one of its destination, ordered by when it is due, and each has its own bound on what runs at one time. Those that may start
 * something take turns, one start each, so that a destination with much mail does not starve the others. Nothing here is done for all lanes at each start:
 * what may start only later sleeps in a heap.
 */
import { DueHeap } from "./due-heap.ts";
import { Lane, type LaneLimits } from "./lane.ts";
import { dueAtOf, type Unit } from "./work.ts";

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #sleeping = new DueHeap<Lane>();
  /** Lanes that are down, suspended, or empty with something to remember. */
  readonly #remarkable = new Set<Lane>();
  readonly #runningMax: number;
  readonly #limitsOf: (name: string) => LaneLimits;
  #ring: { readonly first: Lane; last: Lane } | undefined;
  #running = 0;
  #order = 0;

  constructor(options: { readonly runningMax: number; readonly limitsOf: (name: string) => LaneLimits }) {
    this.#runningMax = options.runningMax;
    this.#limitsOf = options.limitsOf;
  }

  /** How much runs now, in all lanes. */
  get running(): number {
    return this.#running;
  }

  get(name: string): Lane | undefined {
    return this.#lanes.get(name);
  }

  values(): IterableIterator<Lane> {
    return this.#lanes.values();
  }

  /** Those worth a look from time to time. */
  get remarkable(): ReadonlySet<Lane> {
    return this.#remarkable;
  }

  /** Puts work where it waits until it is due; what the operator holds wholly waits in no lane. */
  plan(unit: Unit, now: number): void {
    unit.dueAt = dueAtOf(unit);
    unit.order = this.#order++;
    unit.state = "waiting";
    if (unit.dueAt === Number.POSITIVE_INFINITY) return;
    const lane = this.#open(unit.laneName, now);
    lane.push(unit);
    this.#place(lane, now);
  }

  /** Takes waiting work out. */
  take(unit: Unit, state: "running" | "changing", now: number): void {
    unit.state = state;
    if (unit.place < 0) return;
    const lane = this.#lanes.get(unit.laneName)!;
    lane.remove(unit);
    this.#place(lane, now);
  }

  /**
   * Starts everything that is due and has a place: `begin` is called with it, its lane, and with what gives the place back.
   * Returns when the next work with a place is due, or Infinity; work without a place is for the call after one came back.
   */
  startDue(now: number, begin: (unit: Unit, lane: Lane, freePlace: (now: number) => void) => void): number {
    for (let lane = this.#sleeping.peek(); lane && lane.dueAt <= now; lane = this.#sleeping.peek())
      this.#place(lane, now);
    while (this.#running < this.#runningMax) {
      const lane = this.#nextInRing();
      if (!lane) return this.#sleeping.peek()?.dueAt ?? Number.POSITIVE_INFINITY;
      if (lane.readyAt() > now) {
        this.#place(lane, now);
        continue;
      }
      const unit = lane.start(now);
      unit.state = "running";
      this.#running += 1;
      this.#place(lane, now);
      begin(unit, lane, (freedAt) => {
        this.#running -= 1;
        lane.running -= 1;
        this.#place(lane, freedAt);
      });
    }
    return Number.POSITIVE_INFINITY;
  }

  /** After something about a lane changed that decides when it may start. */
  touch(lane: Lane, now: number): void {
    this.#place(lane, now);
  }

  /** Other limits: of one lane, or of all. */
  relimit(now: number, name?: string): void {
    const lanes = name === undefined ? [...this.#lanes.values()] : [this.#open(name, now)];
    for (const lane of lanes) {
      this.#limit(lane, this.#limitsOf(lane.name), now);
      this.#place(lane, now);
    }
  }

  /** After the clock was set forward. */
  skip(jumpMs: number, now: number): void {
    for (const lane of this.#remarkable) lane.skip(jumpMs, now);
  }

  /** After the clock was set back. */
  bringForward(now: number): void {
    for (const lane of [...this.#lanes.values()]) {
      lane.bringForward(now);
      this.#place(lane, now);
    }
  }

  #open(name: string, now: number): Lane {
    const known = this.#lanes.get(name);
    if (known) return known;
    const lane = new Lane(name, this.#limitsOf(name));
    this.#limit(lane, lane.limits, now);
    this.#lanes.set(name, lane);
    return lane;
  }

  #limit(lane: Lane, limits: LaneLimits, now: number): void {
    lane.limits = limits;
    lane.suspendedSince = limits.suspendedUntil === null ? null : (lane.suspendedSince ?? now);
  }

  /** In the ring where it may start something, asleep where it may later, forgotten where there is nothing to know of it. */
  #place(lane: Lane, now: number): void {
    if (lane.isIdle(now)) {
      this.#remarkable.delete(lane);
      if (lane.place >= 0) this.#sleeping.remove(lane);
      // One that is still in the ring goes when its turn comes.
      if (!lane.inRing) this.#lanes.delete(lane.name);
      return;
    }
    if (lane.stalledSince(now) !== null || (lane.waiting === 0 && lane.running === 0)) this.#remarkable.add(lane);
    else this.#remarkable.delete(lane);
    if (lane.inRing) return;
    const readyAt = lane.readyAt();
    if (lane.place >= 0) {
      if (lane.dueAt === readyAt && readyAt > now) return;
      this.#sleeping.remove(lane);
    }
    if (readyAt === Number.POSITIVE_INFINITY) return;
    if (readyAt > now) {
      lane.dueAt = readyAt;
      lane.order = this.#order++;
      this.#sleeping.push(lane);
      return;
    }
    lane.inRing = true;
    if (this.#ring) this.#ring.last = this.#ring.last.next = lane;
    else this.#ring = { first: lane, last: lane };
  }

  #nextInRing(): Lane | undefined {
    const lane = this.#ring?.first;
    if (!lane) return undefined;
    this.#ring = lane.next ? { first: lane.next, last: this.#ring!.last } : undefined;
    lane.next = undefined;
    lane.inRing = false;
    return lane;
  }
}
