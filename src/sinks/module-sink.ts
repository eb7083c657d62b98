/** Sinks of the user's own: a module is imported, one of its exports is a sink or makes one. */
import { statSync } from "node:fs";
import { registerHooks } from "node:module";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import type { Sink } from "../events/sink.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

/** What `import … from "onarrival"` means in a sink, wherever its file lies: this server, and never another copy of it. */
const ourApi = new URL("../index.ts", import.meta.url).href;
let isApiNamed = false;

/** Times of change of modules when they were first read. */
const firstRead = new Map<string, number>();

/** @throws {Fault} `sink.load`; and what the function that makes the sink throws */
export async function loadModuleSink(
  module: string,
  exportName: string | undefined,
  properties: Readonly<Record<string, unknown>>,
): Promise<Sink> {
  nameOurApi();
  const exports = await importModule(module);
  const names = Object.keys(exports);
  const name = exportName ?? ("default" in exports ? "default" : names.length === 1 ? names[0]! : undefined);
  if (name === undefined)
    throw new Fault(
      "sink.load",
      `Cannot choose an export of ${module}: it has ${names.join(", ") || "none"}; name one with export = "…"`,
    );
  const exported = exports[name];
  if (exported === undefined)
    throw new Fault("sink.load", `Cannot find the export ${name} of ${module}: it has ${names.join(", ") || "none"}`);
  const sink: unknown =
    typeof exported === "function" ? await (exported as (properties: unknown) => unknown)(properties) : exported;
  if (!isSink(sink))
    throw new Fault(
      "sink.load",
      `Cannot use the export ${name} of ${module}: expected a sink, or a function that makes one: an object with a name and handlers`,
    );
  return sink;
}

/**
 * Imports a module. Node keeps what it has read, errors too: a file that has changed since it was first read gets another address, made from its
 * time of change. What it imports itself is not read again.
 */
async function importModule(module: string): Promise<Record<string, unknown>> {
  const url = pathToFileURL(module);
  const changedAt = statSync(module, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const firstChangedAt = firstRead.get(module);
  if (firstChangedAt === undefined) firstRead.set(module, changedAt);
  else if (firstChangedAt !== changedAt) url.search = `changed=${changedAt}`;
  try {
    return (await import(url.href)) as Record<string, unknown>;
  } catch (error) {
    const place = placeIn(module, error);
    // Who imports the module itself is no news to anybody.
    const words = describeThrown(error).replace(/ imported from \S*module-sink\.ts$/, "");
    throw new Fault("sink.load", `Cannot load ${module}${place}: ${words}`, { cause: error });
  }
}

/** Where in the module an error arose, `:3:14` or `:3`; "" where its stack does not tell. */
function placeIn(module: string, error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const at = stack.indexOf(basename(module));
  return at === -1 ? "" : (/^(?:\?[^:\s]*)?(:\d+(?::\d+)?)/.exec(stack.slice(at + basename(module).length))?.[1] ?? "");
}

/** Nothing has to be installed where a sink lies. */
function nameOurApi(): void {
  if (isApiNamed) return;
  isApiNamed = true;
  registerHooks({
    resolve: (specifier, context, nextResolve) =>
      specifier === "onarrival" ? { url: ourApi, shortCircuit: true } : nextResolve(specifier, context),
  });
}

function isSink(value: unknown): value is Sink {
  return typeof value === "object" && value !== null && typeof (value as { name?: unknown }).name === "string";
}
