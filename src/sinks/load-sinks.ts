/** Loads native sinks by module path, as the configuration names them, and makes their bindings. A sink that does not load is bound broken: visible, never asked. */
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import type { Binding, OnFault } from "../events/binding.ts";
import type { EventName } from "../events/event.ts";
import { parseRule } from "../events/rule.ts";
import type { AnyHandler, Sink } from "../events/sink.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

/** One `[[sinks]]` of the configuration. */
export interface SinkEntry {
  /** Absolute path of the module. */
  readonly module: string;
  /** Name of the export; without one the default export, or the only one. */
  readonly export?: string;
  readonly events: readonly EventName[];
  readonly name?: string;
  readonly priority: number;
  readonly rule: string | null;
  readonly enabled: boolean;
  readonly onFault: OnFault;
  readonly maxFirings: number;
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface LoadedSinks {
  readonly bindings: readonly Binding[];
  /** Calls every sink's `close`. */
  close(): Promise<void>;
}

/**
 * Loads all of them.
 * @throws {Fault} `rule.syntax` where a rule of the configuration cannot be read
 */
export async function loadSinks(entries: readonly SinkEntry[], log: Log): Promise<LoadedSinks> {
  const bindings: Binding[] = [];
  const sinks: Sink[] = [];
  // Before any sink is made: where a rule cannot be read nobody would close those that were.
  const rulesOf = entries.map(({ events, rule }) => events.map((event) => (rule ? parseRule(rule, event) : null)));
  for (const [index, entry] of entries.entries()) {
    const loaded = await loadSink(entry).catch((error: unknown) => {
      const reason = describeThrown(error);
      log.error("sink.broken", { module: entry.module, reason });
      return reason;
    });
    if (typeof loaded !== "string") sinks.push(loaded);
    const name = entry.name ?? (typeof loaded === "string" ? basename(entry.module) : loaded.name);
    for (const [at, event] of entry.events.entries()) {
      const plainId = `sinks/${name}#${event}`;
      bindings.push({
        id: bindings.some((other) => other.id === plainId) ? `${plainId}-${index + 1}` : plainId,
        name,
        event,
        enabled: entry.enabled,
        priority: entry.priority,
        rule: rulesOf[index]![at] ?? null,
        onFault: entry.onFault,
        maxFirings: entry.maxFirings,
        properties: entry.properties,
        source: "config",
        createdOrder: index,
        target: typeof loaded === "string" ? { kind: "broken", reason: loaded } : targetOf(loaded, event),
      });
    }
  }
  return {
    bindings,
    async close() {
      for (const sink of sinks) {
        try {
          await sink.close?.();
        } catch (error) {
          log.error("sink.failed", { sink: sink.name, reason: describeThrown(error) });
        }
      }
    },
  };
}

/** Bindings of the server's own handling, in its place in the order: behind every other sink of the same priority. */
export function serverBindings(
  sinks: readonly { readonly sink: Sink; readonly events: readonly EventName[] }[],
  priority: number,
): Binding[] {
  return sinks.flatMap(({ sink, events }, index) =>
    events.map((event) => ({
      id: `server/${sink.name}#${event}`,
      name: sink.name,
      event,
      enabled: true,
      priority,
      rule: null,
      onFault: "defer" as const,
      maxFirings: 0,
      properties: {},
      source: "server" as const,
      createdOrder: index,
      target: targetOf(sink, event),
    })),
  );
}

async function loadSink(entry: SinkEntry): Promise<Sink> {
  const module = (await import(pathToFileURL(entry.module).href)) as Record<string, unknown>;
  const names = Object.keys(module);
  const name = entry.export ?? ("default" in module ? "default" : names.length === 1 ? names[0]! : undefined);
  if (name === undefined)
    throw new Fault(
      "sink.load",
      `Cannot choose an export of ${entry.module}: it has ${names.join(", ") || "none"}; name one with export = "…"`,
    );
  const exported = module[name];
  if (exported === undefined)
    throw new Fault(
      "sink.load",
      `Cannot find the export ${name} of ${entry.module}: it has ${names.join(", ") || "none"}`,
    );
  const sink: unknown =
    typeof exported === "function" ? await (exported as (properties: unknown) => unknown)(entry.properties) : exported;
  if (!isSink(sink))
    throw new Fault(
      "sink.load",
      `Cannot use the export ${name} of ${entry.module}: expected a sink, or a function that makes one: an object with a name and handlers`,
    );
  return sink;
}

function isSink(value: unknown): value is Sink {
  return typeof value === "object" && value !== null && typeof (value as { name?: unknown }).name === "string";
}

function targetOf(sink: Sink, event: EventName): Binding["target"] {
  const handler = sink[event];
  if (typeof handler !== "function")
    return { kind: "broken", reason: `The sink ${sink.name} has no handler for ${event}` };
  // The event's name ties the handler to its subject's type; the dispatcher keeps that tie.
  return { kind: "native", handler: handler.bind(sink) as unknown as AnyHandler };
}
