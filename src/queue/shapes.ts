/**
 * What each destination may be given: as the configuration says, and before that as the operator does while the server runs. The operator's word is kept in a
 * file (`destinations.json`), written whole and synced; one that cannot be read is put aside with a warning and never keeps the server from its work.
 */
import { readFile, rename } from "node:fs/promises";
import { writeDurably } from "../platform/durable-file.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Rate } from "../platform/value.ts";
import type { LaneLimits } from "./lane.ts";

/** One entry of the configuration's list; the first that matches holds. */
export interface ConfiguredShape {
  /** A destination as it is named, a domain, or `*.domain`. */
  readonly match: string;
  readonly connectionsMax?: number;
  readonly rate?: Rate;
}

/** What is absent stays; null goes back to what the configuration says. */
export interface ShapeChange {
  readonly connectionsMax?: number | null;
  readonly rate?: Rate | null;
  /** Milliseconds since the Unix epoch, Infinity until it is resumed; null resumes it. */
  readonly suspendedUntilMs?: number | null;
  /** Ends the back-off. */
  readonly wake?: true;
}

interface OperatorShape {
  readonly connectionsMax?: number;
  readonly rate?: Rate;
  readonly suspendedUntil?: number;
}

/** Destinations the operator may shape. */
const shapedMax = 1_000;
const nameLengthMax = 2_100;
const connectionsLargest = 10_000;
const timesLargest = 1_000_000;
const withinMsLargest = 7 * 86_400_000;
/** The last time there is a date for. */
const latestMs = 8.64e15;
const fileOctetsMax = 4 * 1024 * 1024;

export class Shapes {
  readonly #path: string | null;
  readonly #log: Log;
  readonly #connectionsDefault: number;
  readonly #operator = new Map<string, OperatorShape>();
  #configured: readonly ConfiguredShape[];
  #opened: Promise<void> | undefined;
  /** One change after the other: they share a file. */
  #last: Promise<void> = Promise.resolve();

  /** @param options.path null: the operator's word is forgotten at the end of the process */
  constructor(options: {
    readonly path: string | null;
    readonly log: Log;
    readonly configured: readonly ConfiguredShape[];
    readonly connectionsDefault: number;
  }) {
    this.#path = options.path;
    this.#log = options.log;
    this.#configured = options.configured;
    this.#connectionsDefault = options.connectionsDefault;
  }

  /** Reads what the operator said to earlier processes. Never throws. */
  open(): Promise<void> {
    return (this.#opened ??= this.#read());
  }

  async #read(): Promise<void> {
    if (this.#path === null) return;
    let text: string;
    try {
      text = await readFile(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") await this.#putAside(error);
      return;
    }
    try {
      if (text.length > fileOctetsMax) throw new Error(`it is longer than ${fileOctetsMax} octets`);
      const read: unknown = JSON.parse(text);
      if (!isRecord(read)) throw new Error("it is no object of destinations");
      for (const [name, value] of Object.entries(read).slice(0, shapedMax)) this.#operator.set(name, parseShape(value));
    } catch (error) {
      this.#operator.clear();
      await this.#putAside(error);
    }
  }

  reconfigure(configured: readonly ConfiguredShape[]): void {
    this.#configured = configured;
  }

  limitsOf(name: string): LaneLimits {
    const operator = this.#operator.get(name);
    const configured = this.#configuredOf(name);
    return {
      connectionsMax: operator?.connectionsMax ?? configured?.connectionsMax ?? this.#connectionsDefault,
      rate: operator?.rate ?? configured?.rate ?? null,
      suspendedUntil: operator?.suspendedUntil ?? null,
    };
  }

  shapedBy(name: string): "config" | "operator" | null {
    const { connectionsMax, rate } = this.#operator.get(name) ?? {};
    // A suspension is no limit of its own.
    if (connectionsMax !== undefined || rate !== undefined) return "operator";
    return this.#configuredOf(name) ? "config" : null;
  }

  /** Destinations the operator shaped. */
  names(): string[] {
    return [...this.#operator.keys()];
  }

  /** Durable once this resolves. @throws {Fault} `destination.invalid`, `data.unusable`; then nothing changed */
  async change(name: string, change: ShapeChange): Promise<void> {
    const done = this.#last.then(() => this.#change(name, change));
    this.#last = done.catch(() => {});
    await done;
  }

  async #change(name: string, { connectionsMax, rate, suspendedUntilMs }: ShapeChange): Promise<void> {
    await this.open();
    const before = this.#operator.get(name);
    const merged: Record<string, unknown> = { ...before };
    for (const [key, value] of Object.entries({ connectionsMax, rate, suspendedUntil: suspendedUntilMs })) {
      if (value === null) delete merged[key];
      else if (value !== undefined) merged[key] = value;
    }
    let shape: OperatorShape;
    try {
      shape = parseShape(merged);
    } catch (error) {
      throw new Fault(
        "destination.invalid",
        `Cannot shape the destination ${JSON.stringify(name.slice(0, 100))}: ${describeThrown(error)}`,
      );
    }
    if (name === "" || name.length > nameLengthMax || /[\x00-\x1f\x7f]/.test(name))
      throw new Fault("destination.invalid", "Cannot shape a destination of this name: expected one as it is listed");
    if (!before && this.#operator.size >= shapedMax)
      throw new Fault("destination.invalid", `Cannot shape another destination: ${shapedMax} are, expected fewer`);
    if (Object.keys(shape).length === 0) {
      if (!before) return;
      this.#operator.delete(name);
    } else this.#operator.set(name, shape);
    try {
      await this.#write();
    } catch (error) {
      if (before) this.#operator.set(name, before);
      else this.#operator.delete(name);
      throw new Fault("data.unusable", `Cannot keep the shape of a destination: ${describeThrown(error)}`, {
        cause: error,
      });
    }
  }

  async #write(): Promise<void> {
    if (this.#path === null) return;
    const shapes = Array.from(this.#operator, ([name, shape]) => [
      name,
      // JSON knows no Infinity.
      shape.suspendedUntil === Number.POSITIVE_INFINITY ? { ...shape, suspendedUntil: "resumed" } : shape,
    ]);
    await writeDurably(this.#path, [Buffer.from(`${JSON.stringify(Object.fromEntries(shapes), null, 2)}\n`)]);
  }

  async #putAside(error: unknown): Promise<void> {
    const path = this.#path!;
    const keptAs = `${path}.broken`;
    const kept = await rename(path, keptAs).then(
      () => true,
      () => false,
    );
    this.#log.warn("queue.destinations-unreadable", {
      file: path,
      reason: describeThrown(error),
      keptAs: kept ? keptAs : null,
    });
  }

  #configuredOf(name: string): ConfiguredShape | undefined {
    const domain = name.startsWith("mx:") ? name.slice(3) : name;
    return this.#configured.find(({ match }) =>
      match.startsWith("*.") ? domain.endsWith(match.slice(1)) : match === name || match === domain,
    );
  }
}

/** @throws {Error} in words */
function parseShape(value: unknown): OperatorShape {
  if (!isRecord(value)) throw new Error("expected an object");
  const { connectionsMax, rate, suspendedUntil, ...others } = value;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new Error(`there is no ${JSON.stringify(unknown.slice(0, 50))}`);
  if (connectionsMax !== undefined && !isCount(connectionsMax, connectionsLargest))
    throw new Error(`expected 1 to ${connectionsLargest} attempts at a time`);
  if (rate !== undefined && !isRate(rate)) throw new Error("expected a rate of times and withinMs");
  const until = suspendedUntil === "resumed" ? Number.POSITIVE_INFINITY : suspendedUntil;
  if (until !== undefined && !(typeof until === "number" && until >= 0 && (until <= latestMs || until === Infinity)))
    throw new Error("expected a time to resume at");
  return {
    ...(connectionsMax === undefined ? {} : { connectionsMax }),
    ...(rate === undefined ? {} : { rate: { times: rate.times, withinMs: rate.withinMs } }),
    ...(until === undefined ? {} : { suspendedUntil: until }),
  };
}

function isCount(value: unknown, largest: number): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= largest;
}

function isRate(value: unknown): value is Rate {
  return isRecord(value) && isCount(value["times"], timesLargest) && isCount(value["withinMs"], withinMsLargest);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
