/**
 * The guest's modules (guest/): read and stripped of their types once, then compiled into every isolate. There is no build step. What few scripts
 * need (`web-*.ts`: URL, streams, workers …) is compiled only where the script's own code mentions it, and costs the others nothing.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import ivm from "isolated-vm";
import { answerWeb } from "./web-answers.ts";

/** The functions of guest/main.ts that the child calls. */
export interface Guest {
  readonly prepare: ivm.Reference<(host: unknown, withTemporal: boolean) => void>;
  readonly load: ivm.Reference<(script: unknown) => string>;
  readonly start: ivm.Reference<(mailJson: string, stepJson: string) => string>;
  readonly resume: ivm.Reference<(call: number, answerJson: string, clock: number) => void>;
  readonly poll: ivm.Reference<() => string>;
  readonly abandon: ivm.Reference<() => string>;
}

interface Source {
  readonly text: string;
  /** Names of the modules it imports. */
  readonly imports: readonly string[];
}

const entry = "main.ts";
/** Asks the child on behalf of all packs. */
const webHost = "web-host.ts";

/**
 * Which module brings what, by the names as they stand in compiled code. A name in a text or in an object's key brings it as well, which costs a little and harms
 * nobody; one that is put together at run time does not.
 */
const packs: readonly (readonly [module: string, mention: RegExp])[] = [
  ["web-text.ts", /\bText(?:De|En)coder\b/],
  ["web-base64.ts", /\b(?:atob|btoa)\b/],
  ["web-url.ts", /\bURL(?:SearchParams)?\b/],
  ["web-headers.ts", /\bHeaders\b/],
  ["web-exception.ts", /\bDOMException\b/],
  ["web-abort.ts", /\b(?:Abort(?:Controller|Signal)|Event|EventTarget)\b/],
  ["web-crypto.ts", /\bcrypto\b/],
  ["web-clone.ts", /\bstructuredClone\b/],
  ["web-timing.ts", /\b(?:queueMicrotask|performance)\b/],
  ["web-streams.ts", /\b(?:ReadableStream|WritableStream|stream)\b/],
  ["web-transform.ts", /\bT(?:ransform|extDecoder|extEncoder)Stream\b/],
  ["web-blob.ts", /\bBlob\b/],
  ["web-fetch.ts", /\b(?:fetch|Response|Request)\b/],
  // A default export, as esbuild writes it, and the word.
  ["web-worker.ts", /\bdefault: \(\) =>[\s\S]*\bemail\b/],
];

let sources: ReadonlyMap<string, Source> | undefined;

/** Puts the guest into an isolate that nothing else has run in yet, with what the script's `code` mentions. */
export function installGuest(isolate: ivm.Isolate, context: ivm.Context, code: string): Guest {
  sources ??= readSources();
  const modules = new Map<string, ivm.Module>();
  const entries = [entry];
  for (const [name, mention] of packs) if (mention.test(code)) entries.push(name);
  for (const name of withImports(entries, sources))
    modules.set(name, isolate.compileModuleSync(sources.get(name)!.text, { filename: `guest:///${name}` }));
  // Only what was instantiated by itself has a namespace to be asked.
  if (modules.has(webHost)) entries.push(webHost);
  for (const name of entries) {
    const module = modules.get(name)!;
    module.instantiateSync(context, (specifier) => modules.get(specifier.replace("./", ""))!);
    module.evaluateSync();
  }
  const host = modules.get(webHost);
  if (host) {
    const ask = new ivm.Callback(answerWeb, { sync: true });
    host.namespace.getSync("setWebHost", { reference: true }).applySync(undefined, [ask as never]);
  }
  const main = modules.get(entry)!;
  const take = (name: string) => main.namespace.getSync(name, { reference: true });
  return {
    prepare: take("prepare"),
    load: take("load"),
    start: take("start"),
    resume: take("resume"),
    poll: take("poll"),
    abandon: take("abandon"),
  };
}

/** Those modules and all they import, each once. */
function withImports(entries: readonly string[], from: ReadonlyMap<string, Source>): Iterable<string> {
  const names = new Set(entries);
  for (const name of names) for (const imported of from.get(name)!.imports) names.add(imported);
  return names;
}

function readSources(): ReadonlyMap<string, Source> {
  return new Map(
    Object.entries(readTexts()).map(([name, text]) => {
      const imports = [...text.matchAll(/\bfrom "\.\/([a-z-]+\.ts)";/g)].map((match) => match[1]!);
      return [name, { text, imports }];
    }),
  );
}

/** By name, without types: made ready beside us (child-program.ts), or as they stand here. */
function readTexts(): Readonly<Record<string, string>> {
  const made = join(import.meta.dirname, "guest.json");
  if (existsSync(made)) return JSON.parse(readFileSync(made, "utf8")) as Record<string, string>;
  const folder = join(import.meta.dirname, "guest");
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  return Object.fromEntries(
    names.map((name) => [name, stripTypeScriptTypes(readFileSync(join(folder, name), "utf8"))]),
  );
}
