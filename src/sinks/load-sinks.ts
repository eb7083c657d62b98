/**
 * Loads native sinks as the configuration and `onarrival bindings` name them, ours by name and the user's by module path, and makes their bindings.
 * A sink that cannot be made is bound broken: visible, never asked.
 */
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Binding, type OnFault, type Phase, priorityDefault } from "../events/binding.ts";
import type { EventName } from "../events/event.ts";
import { parseRule } from "../events/rule.ts";
import type { AnyHandler, Sink } from "../events/sink.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { findKitSink, kitSinkNamed } from "./kit.ts";
import { loadModuleSink } from "./module-sink.ts";
import type { SinkPorts } from "./sink-ports.ts";

/** One `[[sinks]]` of the configuration, or one binding that was added to the running server. */
export interface SinkEntry {
  /** Name of a sink that comes with the server. Either this or `module` is there. */
  readonly use?: string;
  /** Absolute path of the module. */
  readonly module?: string;
  /** Name of the export; without one the default export, or the only one. */
  readonly export?: string;
  /** Empty with `use`: those the sink is made for. */
  readonly events: readonly EventName[];
  readonly name?: string;
  readonly priority: number;
  readonly rule: string | null;
  readonly enabled: boolean;
  readonly phase?: Phase;
  readonly onFault: OnFault;
  /** Time for an answer. */
  readonly timeoutMs?: number;
  readonly maxFirings: number;
  readonly properties: Readonly<Record<string, unknown>>;
  /** Id of the binding, where the caller has given one; with several events the event's name is put behind it. */
  readonly id?: string;
  /** `config` where absent. */
  readonly source?: "config" | "added";
}

/** A sink that was made, or why not, and what it was made from. */
interface Made {
  readonly entry: SinkEntry;
  readonly sink: Sink | { readonly broken: string };
}

/**
 * Makes sinks of entries. A sink whose module and properties stay the same is kept from one load to the next, whatever else of its entry
 * changes, and what it remembers with it. Those that the last load has no use for are closed by `retire`, or by the next load.
 */
export class SinkLoader {
  readonly #ports: SinkPorts;
  #made: Made[] = [];
  #gone: Made[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: SinkPorts) {
    this.#ports = ports;
  }

  /**
   * The bindings of these entries, in the place of those of the load before. One load at a time: a second one waits for the first.
   * @throws {Fault} `rule.syntax` where a rule cannot be read; then nothing changed
   */
  load(entries: readonly SinkEntry[]): Promise<readonly Binding[]> {
    const loaded = this.#turn.then(() => this.#load(entries));
    this.#turn = loaded.catch(() => {});
    return loaded;
  }

  /** Closes the sinks the last load had no use for: to be called when nobody asks the former bindings any more. */
  retire(): Promise<void> {
    const retired = this.#turn.then(() => this.#close(this.#gone.splice(0)));
    this.#turn = retired;
    return retired;
  }

  /** Closes every sink. */
  async close(): Promise<void> {
    await this.retire();
    await this.#close(this.#made.splice(0));
  }

  async #load(entries: readonly SinkEntry[]): Promise<readonly Binding[]> {
    // Before any sink is made: where a rule cannot be read nobody would close those that were.
    for (const { events, rule, use } of entries)
      if (rule !== null)
        for (const event of events.length > 0 ? events : (findKitSink(use)?.events ?? [])) parseRule(rule, event);
    // Those of the load before may come back: a change that could not be made is taken back by loading what was.
    const former = [...this.#made, ...this.#gone];
    const wasGone = new Set(this.#gone);
    const made: Made[] = [];
    for (const entry of entries) {
      const at = former.findIndex((one) => !("broken" in one.sink) && isSameSink(one.entry, entry));
      made.push(at === -1 ? { entry, sink: await this.#make(entry) } : { ...former.splice(at, 1)[0]!, entry });
    }
    this.#made = made;
    this.#gone = former.filter((one) => !wasGone.has(one));
    await this.#close(former.filter((one) => wasGone.has(one)));
    return bindingsOf(made);
  }

  async #make(entry: SinkEntry): Promise<Made["sink"]> {
    try {
      const { use, module, properties } = entry;
      if (use !== undefined) return await kitSinkNamed(use).make(properties, this.#ports);
      if (module !== undefined) return await loadModuleSink(module, entry.export, properties);
      throw new Fault("sink.load", "Cannot load a sink that is not named: expected use or module");
    } catch (error) {
      const reason = describeThrown(error, 2_000);
      const code = error instanceof Fault ? error.code : "sink.load";
      this.#ports.log.error("sink.broken", { use: entry.use, module: entry.module, code, reason });
      return { broken: reason };
    }
  }

  async #close(list: readonly Made[]): Promise<void> {
    for (const { sink } of list) {
      if ("broken" in sink) continue;
      try {
        await sink.close?.();
      } catch (error) {
        this.#ports.log.error("sink.failed", { sink: sink.name, reason: describeThrown(error) });
      }
    }
  }
}

/** A sink of the server's own handling, and how it is bound. */
export interface OwnSink {
  readonly sink: Sink;
  readonly events: readonly EventName[];
  /** Without one it is asked about everything. */
  readonly rule?: string;
  /** Default 24575. */
  readonly priority?: number;
}

/** Bindings of the server's own handling, in its place in the order: behind every other sink of the same priority. @throws {Fault} `rule.syntax` */
export function serverBindings(sinks: readonly OwnSink[]): Binding[] {
  return sinks.flatMap(({ sink, events, rule, priority = priorityDefault }, index) =>
    events.map((event) => ({
      id: `server/${sink.name}#${event}`,
      name: sink.name,
      event,
      enabled: true,
      priority,
      rule: rule === undefined ? null : parseRule(rule, event),
      onFault: "defer" as const,
      maxFirings: 0,
      properties: {},
      source: "server" as const,
      createdOrder: index,
      target: targetOf(sink, event),
    })),
  );
}

/** Whether a sink made of the one entry can serve the other. */
function isSameSink(one: SinkEntry, other: SinkEntry): boolean {
  return (
    one.use === other.use &&
    one.module === other.module &&
    one.export === other.export &&
    isDeepStrictEqual(one.properties, other.properties)
  );
}

function bindingsOf(made: readonly Made[]): readonly Binding[] {
  const bindings: Binding[] = [];
  const ids = new Set<string>();
  for (const [index, { entry, sink }] of made.entries()) {
    const kitName = "broken" in sink ? entry.use : sink.name;
    const name = entry.name ?? kitName ?? basename(entry.module ?? "unnamed");
    const events = entry.events.length > 0 ? entry.events : eventsFor(entry, sink);
    for (const event of events) {
      const plainId =
        entry.id === undefined ? `sinks/${name}#${event}` : events.length === 1 ? entry.id : `${entry.id}#${event}`;
      const id = ids.has(plainId) ? `${plainId}-${index + 1}` : plainId;
      ids.add(id);
      bindings.push({
        id,
        name,
        event,
        enabled: entry.enabled,
        priority: entry.priority,
        rule: entry.rule === null ? null : parseRule(entry.rule, event),
        ...(entry.phase === "queue" && event === "onArrival" && { phase: entry.phase }),
        onFault: entry.onFault,
        ...(entry.timeoutMs !== undefined && { timeoutMs: entry.timeoutMs }),
        maxFirings: entry.maxFirings,
        properties: entry.properties,
        source: entry.source ?? "config",
        createdOrder: index,
        target: "broken" in sink ? { kind: "broken", reason: sink.broken } : targetOf(sink, event),
      });
    }
  }
  return bindings;
}

/** The events of an entry that names none: those our sink is made for, as far as its properties let it; a name nobody knows stays visible at onArrival. */
function eventsFor({ use }: SinkEntry, sink: Made["sink"]): readonly EventName[] {
  const events = findKitSink(use)?.events ?? ["onArrival"];
  return "broken" in sink ? events : events.filter((event) => sink[event] !== undefined);
}

function targetOf(sink: Sink, event: EventName): Binding["target"] {
  const handler = sink[event];
  if (typeof handler !== "function")
    return { kind: "broken", reason: `The sink ${sink.name} has no handler for ${event}` };
  // The event's name ties the handler to its subject's type; the dispatcher keeps that tie.
  return { kind: "native", handler: handler.bind(sink) as unknown as AnyHandler };
}
