/**
 * Lanes: work waits in the one it belongs to, ordered by when it is due, and each has its own bound on what runs at one time. So a next hop that
 * is slow fills its own places and leaves the others theirs.
 */
import { DueHeap } from "./due-heap.ts";

/** What waits. Planned anew it gets another `order`, and its former place in a lane is stale. */
export interface Planned {
  /** Milliseconds since the Unix epoch. */
  dueAt: number;
  order: number;
  /** False while it runs. */
  waiting: boolean;
}

export interface Lane<Work extends Planned> {
  readonly heap: DueHeap<{ readonly dueAt: number; readonly order: number; readonly work: Work }>;
  running: number;
}

export class Lanes<Work extends Planned> {
  readonly #lanes = new Map<string, Lane<Work>>();
  readonly #limits: { readonly runningMax: number; readonly laneRunningMax: number };
  #running = 0;
  #order = 0;

  constructor(limits: { readonly runningMax: number; readonly laneRunningMax: number }) {
    this.#limits = limits;
  }

  /** How much runs now, in all lanes. */
  get running(): number {
    return this.#running;
  }

  /** Puts work where it waits until `dueAt`. */
  plan(work: Work, laneName: string, dueAt: number): void {
    work.dueAt = dueAt;
    work.order = this.#order++;
    work.waiting = true;
    let lane = this.#lanes.get(laneName);
    if (!lane) this.#lanes.set(laneName, (lane = { heap: new DueHeap(), running: 0 }));
    lane.heap.push({ dueAt, order: work.order, work });
  }

  /**
   * Starts everything that is due and has a place: `begin` is called with it, and with what gives the place back.
   * Returns when the next work with a place is due, or Infinity; work without a place is for the call after one came back.
   */
  startDue(now: number, begin: (work: Work, freePlace: () => void) => void): number {
    let nextAt = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes.values()) {
      for (let first = lane.heap.peek(); first; first = lane.heap.peek()) {
        const { work } = first;
        if (first.order !== work.order || !work.waiting) {
          lane.heap.pop();
          continue;
        }
        if (this.#running >= this.#limits.runningMax || lane.running >= this.#limits.laneRunningMax) break;
        if (first.dueAt > now) {
          nextAt = Math.min(nextAt, first.dueAt);
          break;
        }
        lane.heap.pop();
        work.waiting = false;
        this.#running += 1;
        lane.running += 1;
        begin(work, () => {
          this.#running -= 1;
          lane.running -= 1;
        });
      }
    }
    return nextAt;
  }
}
