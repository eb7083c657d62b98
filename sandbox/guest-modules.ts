/** The guest's modules (guest/): read and stripped of their types once, then compiled into every isolate. There is no build step. */
import { readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import type ivm from "isolated-vm";

/** The functions of guest/main.ts that the child calls. */
export interface Guest {
  readonly prepare: ivm.Reference<(host: unknown) => void>;
  readonly load: ivm.Reference<(script: unknown) => string>;
  readonly start: ivm.Reference<(mailJson: string, stepJson: string) => string>;
  readonly poll: ivm.Reference<() => string>;
  readonly abandon: ivm.Reference<() => string>;
}

const entry = "main.ts";
let sources: ReadonlyMap<string, string> | undefined;

/** Puts the guest into an isolate that nothing else has run in yet. */
export function installGuest(isolate: ivm.Isolate, context: ivm.Context): Guest {
  sources ??= readSources();
  const modules = new Map<string, ivm.Module>();
  for (const [name, source] of sources)
    modules.set(name, isolate.compileModuleSync(source, { filename: `guest:///${name}` }));
  const main = modules.get(entry)!;
  main.instantiateSync(context, (specifier) => modules.get(specifier.replace("./", ""))!);
  main.evaluateSync();
  const take = (name: string) => main.namespace.getSync(name, { reference: true });
  return {
    prepare: take("prepare"),
    load: take("load"),
    start: take("start"),
    poll: take("poll"),
    abandon: take("abandon"),
  };
}

function readSources(): ReadonlyMap<string, string> {
  const folder = join(import.meta.dirname, "guest");
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  return new Map(names.map((name) => [name, stripTypeScriptTypes(readFileSync(join(folder, name), "utf8"))]));
}
