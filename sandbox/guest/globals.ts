/** Runs inside the isolate, before the script: takes away what a script must not have, and gives it a `console`. */
import { define, freeze, getPrototypeOf, jsonOf, toText } from "./primordials.ts";
import { writeLog } from "./run-state.ts";

type Level = "debug" | "info" | "warn" | "error";

/** The log of the API; `console` writes to the same. */
export const log = freeze({
  debug: (...words: unknown[]) => writeLog("debug", joinWords(words)),
  info: (...words: unknown[]) => writeLog("info", joinWords(words)),
  warn: (...words: unknown[]) => writeLog("warn", joinWords(words)),
  error: (...words: unknown[]) => writeLog("error", joinWords(words)),
});

export function prepareGlobals(): void {
  // Memory that the heap limit does not see, and threads to block.
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"])
    delete (globalThis as Record<string, unknown>)[name];
  forbidCodeFromText();
  const methods: Record<string, unknown> = {};
  const levels: [string, Level][] = [
    ["debug", "debug"],
    ["trace", "debug"],
    ["log", "info"],
    ["info", "info"],
    ["dir", "info"],
    ["table", "info"],
    ["warn", "warn"],
    ["error", "error"],
  ];
  for (const [name, level] of levels) methods[name] = log[level];
  for (const name of ["assert", "clear", "count", "group", "groupCollapsed", "groupEnd", "time", "timeEnd", "timeLog"])
    methods[name] = () => {};
  define(globalThis, "console", methods, false);
}

/** `eval`, `new Function` and its three kin: the only ways from a text to code. */
function forbidCodeFromText(): void {
  const forbidden = () => {
    throw new EvalError("Scripts cannot make code from text: eval and new Function are not available");
  };
  const kinds = [() => {}, async () => {}, function* () {}, async function* () {}];
  for (const kind of kinds) {
    const prototype = getPrototypeOf(kind) as object;
    // `instanceof Function` and `Function.prototype` go on working; calling it does not.
    const stand = () => {
      forbidden();
    };
    define(stand, "name", "Function", false);
    stand.prototype = prototype;
    define(prototype, "constructor", stand, false);
    if (kind === kinds[0]) define(globalThis, "Function", stand, false);
  }
  define(globalThis, "eval", forbidden, false);
}

function joinWords(words: readonly unknown[]): string {
  let text = "";
  // More words than that are no line any more.
  for (let i = 0; i < words.length && i < 100; i++) text += (i === 0 ? "" : " ") + wordOf(words[i]);
  return text;
}

function wordOf(word: unknown): string {
  if (typeof word === "string") return word;
  if (typeof word === "function") return "[function]";
  if (typeof word !== "object" || word === null) return toText(word);
  try {
    if (word instanceof Error) return `${toText(word.name)}: ${toText(word.message)}`;
    return jsonOf(word);
  } catch {
    return "[object]";
  }
}

/** Names other runtimes have and scripts look for, and what to do instead. The fault of a script that misses one says so. */
export const absentGlobals: readonly (readonly [name: string, advice: string])[] = freeze([
  ["require", "scripts are modules: import a file beside the script"],
  [
    "process",
    "there is no process to see from a script: settings are in context.properties, secrets in context.secrets",
  ],
  ["Buffer", "octets are Uint8Array here, with toBase64() and toHex(); texts are made of them by TextDecoder"],
  ["XMLHttpRequest", "use fetch or context.http"],
  ["WebSocket", "scripts have HTTP alone: use fetch or context.http"],
  ["addEventListener", "export a handler, or a worker as export default { async email(message, env, ctx) { … } }"],
  ["setInterval", "a run is over when its handler is: use setTimeout, if anything"],
  ["setImmediate", "use queueMicrotask or setTimeout"],
  ["FormData", "send URLSearchParams, or JSON"],
  ["File", "use Blob"],
  ["FileReader", "use blob.arrayBuffer() or blob.text()"],
  ["module", "use export"],
  ["exports", "use export"],
  ["__dirname", "there are no files to see from a script"],
  ["__filename", "there are no files to see from a script"],
  ["window", "there is no browser around a script"],
  ["document", "there is no browser around a script"],
  ["global", "use globalThis"],
  ["WebAssembly", "WebAssembly is not available to scripts"],
  ["SharedArrayBuffer", "shared memory is not available to scripts"],
  ["Atomics", "shared memory is not available to scripts"],
]);

/** What a fault adds to "x is not defined"; "" where there is nothing to say. */
export function adviceFor(message: string): string {
  for (let i = 0; i < absentGlobals.length; i++) {
    const pair = absentGlobals[i]!;
    if (message === `${pair[0]} is not defined`) return `: ${pair[1]}`;
  }
  return "";
}
