/** What is our own about the web's globals in scripts: when they are there, what a script can do to them, their limits, and how they meet the server. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import type { HostCalls, HostQuestion } from "../../../sandbox/host-call.ts";
import { defaultLimits, type RunStep, type ScriptLimits, type StepResult } from "../../../sandbox/protocol.ts";
import { answerWeb } from "../../../sandbox/web-answers.ts";
import { inIsolate } from "../../support/expressions.ts";
import { createScriptFolder, messageOf, runOn, type ScriptFolder, stepOf } from "../../support/scripts.ts";

let sandbox: Sandbox;
let folder: ScriptFolder;

beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
  folder = await createScriptFolder();
});

afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

const mail = messageOf("From: a@example.com\nSubject: one\n\nbody\n");

async function run(
  text: string,
  {
    limits = {},
    step = {},
    calls,
  }: { limits?: Partial<ScriptLimits>; step?: Partial<RunStep>; calls?: HostCalls } = {},
): Promise<StepResult> {
  const script = await folder.compile(text);
  await sandbox.load(script, { ...defaultLimits, ...limits });
  const { steps } = await runOn(sandbox, mail, [stepOf(script.version, limits, step)], calls ? { calls } : {});
  sandbox.unload(script.version);
  return steps[0]!;
}

const handler = (body: string) => `export const onArrival = async (mail, context) => { ${body} };\n`;

const names = [
  "URL",
  "URLSearchParams",
  "TextEncoder",
  "TextDecoder",
  "atob",
  "btoa",
  "Headers",
  "AbortController",
  "AbortSignal",
  "Event",
  "EventTarget",
  "DOMException",
  "crypto",
  "structuredClone",
  "queueMicrotask",
  "performance",
  "ReadableStream",
  "WritableStream",
  "TransformStream",
  "TextDecoderStream",
  "TextEncoderStream",
  "Blob",
  "fetch",
  "Response",
  "Request",
];

describe("a pack", () => {
  it.each(names)("%s is there where the code says its name", async (name) => {
    const { fault, log } = await run(handler(`console.log(typeof ${name} !== "undefined");`));
    expect(fault).toBeNull();
    expect(log[0]!.text).toBe("true");
  });

  it("is not there where the code does not", async () => {
    const halves = names.map((name) => `${name.slice(0, 2)} ${name.slice(2)}`);
    const { log } = await run(
      handler(`console.log(${JSON.stringify(halves)}.filter((name) => name.replace(" ", "") in globalThis).length);`),
    );
    expect(log[0]!.text).toBe("0");
  });

  it("is there while a script is loaded", async () => {
    const text = `const base = new URL("https://ex.org/a"); const octets = new TextEncoder().encode(btoa("x"));\n${handler("console.log(base.host, octets.length);")}`;
    expect((await run(text)).log[0]!.text).toBe("ex.org 4");
  });
});

describe("a script that changes what the language is made of", () => {
  const vandal = `
    const bad = () => { throw new Error("asked"); };
    const ownKeys = Reflect.ownKeys, describe = Object.getOwnPropertyDescriptor, define = Object.defineProperty;
    const classes = [URL, URLSearchParams, Headers, Response, Blob, TextDecoder, ReadableStream, AbortSignal];
    const prototypes = [Map.prototype, Set.prototype, String.prototype, Uint8Array.prototype, Object.getPrototypeOf(Uint8Array.prototype), RegExp.prototype, Array.prototype];
    for (let c = 0; c < classes.length; c++)
      for (let n = 0, names = ownKeys(classes[c].prototype); n < names.length; n++)
        if (names[n] !== "constructor") define(classes[c].prototype, names[n], { get: bad, configurable: true });
    for (let p = 0; p < prototypes.length; p++)
      for (let n = 0, names = ownKeys(prototypes[p]); n < names.length; n++)
        if (names[n] !== "constructor" && typeof describe(prototypes[p], names[n]).value === "function") prototypes[p][names[n]] = bad;
    for (let n = 0, names = ["0", "name", "value", "href", "search", "status", "highWaterMark", "done", "size"]; n < names.length; n++)
      define(Object.prototype, names[n], { __proto__: null, set: bad, get: () => undefined, configurable: true });
    Promise.prototype.then = bad; JSON.parse = bad; JSON.stringify = bad; Reflect.apply = bad; Object.keys = bad; Array.isArray = bad; globalThis.Number = bad; globalThis.String = bad; globalThis.Uint8Array = bad; Symbol.iterator;`;

  it("does not reach into the packs", async () => {
    const text = handler(`
      const get = (of, name) => Object.getOwnPropertyDescriptor(of.prototype, name);
      const [href, setSearch, toText, headersGet, headersSet, text, decode, blobText] =
        [get(URL, "href").get, get(URL, "search").set, get(URLSearchParams, "toString").value, get(Headers, "get").value, get(Headers, "set").value, get(Response, "text").value, get(TextDecoder, "decode").value, get(Blob, "text").value];
      const { call } = Function.prototype; const octets = new Uint8Array([104, 105]); const log = console.log; const list = ["x"]; const { bind } = call;
      const run = (method) => bind.call(call, method);
      const [h, s, t, g, e, x, d, b] = [run(href), run(setSearch), run(toText), run(headersGet), run(headersSet), run(text), run(decode), run(blobText)];
      ${vandal}
      const url = new URL("https://ex.org/?a=1"); s(url, "?b=2");
      const headers = new Headers(); e(headers, "A", "1");
      log(h(url) + " " + t(new URLSearchParams("c=3")) + " " + g(headers, "a") + " " + d(new TextDecoder(), octets) + " " + (await x(new Response("r"))) + " " + (await x(new Response(octets))));
    `);
    const { fault, log } = await run(text);
    expect(fault).toBeNull();
    expect(log[0]!.text).toBe("https://ex.org/?b=2 c=3 1 hi r hi");
  });
});

describe("too much of it", () => {
  it.each([
    [
      "an endless stream is stopped by time or heap",
      "await new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1024)); } })).text();",
      /^script\.(?:cpu|heap)-limit$/,
    ],
    [
      "an endless stream that nobody keeps",
      "for await (const _ of new ReadableStream({ pull(c) { c.enqueue(1); } }));",
      /^script\.cpu-limit$/,
    ],
    ["100 MB to decode", "new TextDecoder().decode(new Uint8Array(100_000_000));", /^script\.(?:cpu|heap)-limit$/],
    [
      "texts to encode without end",
      'const all = []; for (;;) all.push(new TextEncoder().encode("x".repeat(1_000_000)));',
      /^script\.(?:cpu|heap)-limit$/,
    ],
    [
      "hashes without end",
      'for (;;) await crypto.subtle.digest("SHA-512", new Uint8Array(1_000_000));',
      /^script\.cpu-limit$/,
    ],
    ["URLs without end", 'for (;;) new URL("https://ex.org/" + "a/".repeat(10_000));', /^script\.cpu-limit$/],
    [
      "fields without end",
      'const h = new Headers(); for (let i = 0; ; i++) h.append("a" + i, "x".repeat(1000));',
      /^script\.(?:cpu|heap)-limit$/,
    ],
    [
      "a clone without end",
      "const a = []; for (let b = a, i = 0; i < 1e6; i++) b = b[0] = []; structuredClone(a);",
      /^script\.(?:threw|cpu-limit|heap-limit)$/,
    ],
    [
      "a microtask that makes another",
      "const f = () => queueMicrotask(f); f(); await new Promise(() => {});",
      /^script\.(?:cpu-limit|heap-limit)$/,
    ],
  ])("%s", async (_why, body, code) => {
    const { fault } = await run(handler(body), { limits: { cpuMs: 300 } });
    expect(fault?.code).toMatch(code);
    const after = await run(handler("mail.subject = 'well';"));
    expect(after).toMatchObject({ fault: null, effects: { fields: [0, ["Subject", "well"]] } });
  });

  it.each([
    [
      "a URL of a mebi",
      '"https://ex.org/".length && typeof new URL("https://ex.org/" + "a".repeat(1_048_576 - 19))',
      '"object"',
    ],
    ["one above", 'new URL("https://ex.org/" + "a".repeat(1_048_576 - 18))', "throws TypeError"],
    ["32 MiB to decode", "new TextDecoder().decode(new Uint8Array(12_000_000)).length", "12000000"],
    [
      "a character over the edge of two pieces",
      'new TextDecoder().decode(new TextEncoder().encode("a" + "€".repeat(2_000_000))) === "a" + "€".repeat(2_000_000)',
      "true",
    ],
  ])("%s", async (_why, expression, wanted) => {
    expect(await inIsolate({ sandbox, folder }, [expression], { heapMiB: 256 })).toEqual([wanted]);
  });
});

describe("answerWeb", () => {
  it.each<readonly [why: string, ask: unknown, argument: unknown, octets?: unknown]>([
    ["no question", undefined, ""],
    ["an unknown one", "file", "/etc/passwd"],
    ["no text", "url", 7],
    ["no JSON", "url", "https://ex.org"],
    ["JSON of something else", "url-set", "null"],
    ["a part that is none", "url", '[{"href":"x"}]'],
    ["a hash by the name of a method", "digest", "constructor"],
    ["no octets", "random", "0"],
    ["too many octets", "random", "65537"],
    ["no number", "random", "1e1000"],
    ["no charset", "decode", "--nothing", new ArrayBuffer(1)],
  ])("gives nothing for %s", (_why, ask, argument, octets) => {
    expect(answerWeb(ask, argument, octets)).toBeNull();
  });

  it("changes nothing of a URL but its parts", () => {
    const before = answerWeb("url", '["https://ex.org/"]', undefined);
    expect(answerWeb("url-set", '["https://ex.org/","__proto__","x"]', undefined)).toBe(before);
  });
});

describe("chance and time", () => {
  const text = handler(
    "console.log(crypto.randomUUID(), crypto.getRandomValues(new Uint8Array(8)).toHex(), crypto.randomUUID());",
  );
  const seeded = async (seed: string) => (await run(text, { step: { seed } })).log[0]!.text;

  it("comes of the seed of the run, and is never twice the same in it", async () => {
    const first = await seeded("0".repeat(32));
    expect(await seeded("0".repeat(32))).toBe(first);
    expect(await seeded("1".repeat(32))).not.toBe(first);
    const [one, , other] = first.split(" ");
    expect(one).not.toBe(other);
  });

  it("is not there while a script is loaded", async () => {
    await expect(run(`const id = crypto.randomUUID();\n${handler("")}`)).rejects.toMatchObject({
      fault: { code: "script.load", message: expect.stringContaining("within a handler only") as string },
    });
  });

  it("performance.now begins with the run and stands still while it computes", async () => {
    const body =
      "const from = performance.now(); for (let i = 0; i < 1e6; i++); console.log(from, performance.now() - from, performance.timeOrigin);";
    expect((await run(handler(body), { step: { clock: 1_700_000_000_000 } })).log[0]!.text).toBe("0 0 1700000000000");
  });

  it("AbortSignal.timeout comes when its time is over", async () => {
    const body = `const signal = AbortSignal.timeout(1);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      console.log(signal.reason.name);`;
    expect((await run(handler(body))).log[0]!.text).toBe("TimeoutError");
  });
});

describe("fetch", () => {
  function server(): { readonly asked: HostQuestion[]; readonly bodies: string[]; readonly calls: HostCalls } {
    const asked: HostQuestion[] = [];
    const bodies: string[] = [];
    return {
      asked,
      bodies,
      calls: {
        async answer(_asker, question, body, signal) {
          asked.push(question);
          bodies.push(Buffer.from(body ?? []).toString());
          if (question.kind !== "http") return { ok: false, code: "x", message: "x" };
          if (question.url.endsWith("/never"))
            return new Promise((resolve) =>
              signal.addEventListener("abort", () => resolve({ ok: false, code: "aborted", message: "aborted" })),
            );
          if (question.url.endsWith("/refused")) return { ok: false, code: "refused", message: "nobody listens" };
          const headers = [
            ["content-type", "text/x"],
            ["set-cookie", "a"],
            ["set-cookie", "b"],
          ] as const;
          return {
            ok: true,
            value: { status: 204, url: `${question.url}#`, redirected: true, headers },
            body: Buffer.from("ü"),
          };
        },
      },
    };
  }

  it("asks the server as http does, and gives a Response", async () => {
    const { asked, bodies, calls } = server();
    const body = `const r = await fetch(new Request("https://ex.org/a", { method: "put", headers: { A: "1" }, body: new Blob(["b"], { type: "x/y" }) }), { redirect: "manual" });
      console.log(JSON.stringify([r.status, r.ok, r.url, r.redirected, r.headers.get("content-type"), r.headers.getSetCookie(), r instanceof Response, await r.clone().text(), await r.text()]));`;
    const { fault, log } = await run(handler(body), { calls });
    expect(fault).toBeNull();
    expect(asked).toEqual([
      {
        kind: "http",
        method: "PUT",
        url: "https://ex.org/a",
        headers: [
          ["a", "1"],
          ["content-type", "x/y"],
        ],
        hasBody: true,
        timeoutMs: null,
        follow: false,
      },
    ]);
    expect(bodies).toEqual(["b"]);
    expect(JSON.parse(log[0]!.text)).toEqual([
      204,
      true,
      "https://ex.org/a#",
      true,
      "text/x",
      ["a", "b"],
      true,
      "ü",
      "ü",
    ]);
  });

  it.each([
    ["nobody listens", 'fetch("https://ex.org/refused")', "HttpError refused"],
    [
      "it is aborted",
      '(() => { const c = new AbortController(); const p = fetch("https://ex.org/never", { signal: c.signal }); c.abort(); return p; })()',
      "AbortError 20",
    ],
    [
      "it was aborted before",
      'fetch("https://ex.org/never", { signal: AbortSignal.abort("why") })',
      "undefined undefined",
    ],
    ["time is over", 'fetch("https://ex.org/never", { signal: AbortSignal.timeout(1) })', "TimeoutError 23"],
    ["it is no URL", 'fetch("/a")', "TypeError undefined"],
    [
      "its body was read",
      '(async () => { const r = new Request("https://ex.org", { method: "POST", body: "x" }); await r.text(); return fetch(r); })()',
      "TypeError undefined",
    ],
  ])("rejects where %s", async (_why, expression, wanted) => {
    const { log, fault } = await run(
      handler(`try { await ${expression}; console.log("there"); } catch (e) { console.log(e.name, e.code); }`),
      { calls: server().calls },
    );
    expect(fault).toBeNull();
    expect(log[0]!.text).toBe(wanted);
  });

  it("is a fault where it is not granted", async () => {
    const { fault } = await run(handler('await fetch("https://ex.org/").catch(() => {});'));
    expect(fault).toMatchObject({ code: "grant.missing" });
  });
});
