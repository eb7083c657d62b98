/** Streams, bodies and blobs in scripts: the same as Node's own, expression by expression. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { inIsolate, inNode } from "../../support/expressions.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

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

type Table = readonly (readonly [why: string, expression: string])[];

const all = "(async (s) => { const got = []; for await (const x of s) got.push(x); return got; })";
const bytes = (text: string) => `new TextEncoder().encode("${text}")`;

const tables: Readonly<Record<string, Table>> = {
  ReadableStream: [
    ["what start gives", `${all}(new ReadableStream({ start(c) { c.enqueue(1); c.enqueue(2); c.close(); } }))`],
    [
      "what pull gives",
      `(() => { let n = 0; return ${all}(new ReadableStream({ pull(c) { n < 3 ? c.enqueue(n++) : c.close(); } })); })()`,
    ],
    [
      "an asynchronous pull",
      `(() => { let n = 0; return ${all}(new ReadableStream({ async pull(c) { await null; n < 3 ? c.enqueue(n++) : c.close(); } })); })()`,
    ],
    [
      "is not asked before there is room",
      `(async () => { let n = 0; new ReadableStream({ pull(c) { c.enqueue(n++); } }, { highWaterMark: 3 }); for (let i = 0; i < 50; i++) await null; return n; })()`,
    ],
    [
      "a size function",
      `(async () => { let n = 0; new ReadableStream({ pull(c) { n++; c.enqueue("ab"); } }, { highWaterMark: 4, size: (x) => x.length }); for (let i = 0; i < 50; i++) await null; return n; })()`,
    ],
    ["an error", `${all}(new ReadableStream({ start(c) { c.error(new RangeError("x")); } }))`],
    ["an error of pull", `${all}(new ReadableStream({ pull() { throw new RangeError("x"); } }))`],
    ["an error of start", `new ReadableStream({ start() { throw new RangeError("x"); } })`],
    [
      "a reader",
      `(async () => { const r = new ReadableStream({ start(c) { c.enqueue(1); c.close(); } }).getReader(); return [await r.read(), await r.read(), await r.closed]; })()`,
    ],
    ["two readers", `(() => { const s = new ReadableStream(); s.getReader(); s.getReader(); })()`],
    [
      "locked, released, read again",
      `(async () => { const s = ReadableStream.from([1, 2]); const r = s.getReader(); const a = (await r.read()).value; const l = s.locked; r.releaseLock(); return [a, l, s.locked, (await s.getReader().read()).value]; })()`,
    ],
    [
      "read of a released reader",
      `(() => { const r = new ReadableStream().getReader(); r.releaseLock(); return r.read(); })()`,
    ],
    [
      "cancel",
      `(async () => { let why; const s = new ReadableStream({ cancel(r) { why = r; } }); await s.cancel("enough"); return [why, await s.getReader().read()]; })()`,
    ],
    ["cancel while locked", `(() => { const s = new ReadableStream(); s.getReader(); return s.cancel(); })()`],
    [
      "leaving a loop cancels",
      `(async () => { let why = "no"; const s = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel() { why = "yes"; } }); for await (const _ of s) break; return [why, s.locked]; })()`,
    ],
    [
      "preventCancel",
      `(async () => { let why = "no"; const s = new ReadableStream({ pull(c) { c.enqueue(1); }, cancel() { why = "yes"; } }); for await (const _ of s.values({ preventCancel: true })) break; return why; })()`,
    ],
    [
      "enqueue after close",
      `(() => { let c; new ReadableStream({ start(x) { c = x; } }); c.close(); c.enqueue(1); })()`,
    ],
    ["close twice", `(() => { let c; new ReadableStream({ start(x) { c = x; } }); c.close(); c.close(); })()`],
    [
      "desiredSize",
      `(() => { let c; new ReadableStream({ start(x) { c = x; } }, { highWaterMark: 2 }); const a = c.desiredSize; c.enqueue(1); return [a, c.desiredSize]; })()`,
    ],
    ["from", `${all}(ReadableStream.from(new Set([1, 2])))`],
    [
      "tee",
      `(async () => { const [a, b] = ReadableStream.from([1, 2]).tee(); return [await ${all}(a), await ${all}(b)]; })()`,
    ],
    [
      "one half of a tee cancelled",
      `(async () => { const [a, b] = ReadableStream.from([1, 2]).tee(); a.cancel(); return ${all}(b); })()`,
    ],
    [
      "an error through a tee",
      `(async () => { const [a] = new ReadableStream({ pull() { throw new RangeError("x"); } }).tee(); return a.getReader().read(); })()`,
    ],
    ["no size below zero", `new ReadableStream({}, { highWaterMark: -1 })`],
    ["its class", `String(new ReadableStream())`],
  ],
  "WritableStream, TransformStream": [
    [
      "written in order",
      `(async () => { const got = []; const w = new WritableStream({ async write(x) { await null; got.push(x); }, close() { got.push("end"); } }).getWriter(); w.write(1); w.write(2); await w.close(); return got; })()`,
    ],
    [
      "a write that fails",
      `(async () => { const w = new WritableStream({ write() { throw new RangeError("x"); } }).getWriter(); await w.write(1).catch(() => {}); await w.closed; })()`,
    ],
    [
      "write after close",
      `(async () => { const w = new WritableStream().getWriter(); await w.close(); await w.write(1); })()`,
    ],
    ["two writers", `(() => { const s = new WritableStream(); s.getWriter(); s.getWriter(); })()`],
    [
      "desiredSize",
      `(() => { const w = new WritableStream({ write: () => new Promise(() => {}) }).getWriter(); const a = w.desiredSize; w.write(1); return [a, w.desiredSize]; })()`,
    ],
    [
      "pipeTo",
      `(async () => { const got = []; await ReadableStream.from([1, 2]).pipeTo(new WritableStream({ write(x) { got.push(x); }, close() { got.push("end"); } })); return got; })()`,
    ],
    [
      "pipeTo of an error",
      `(async () => { let why; await new ReadableStream({ pull() { throw new RangeError("x"); } }).pipeTo(new WritableStream({ abort(r) { why = r.name; } })).catch(() => {}); return why; })()`,
    ],
    [
      "pipeTo to an error",
      `(async () => { let why; await new ReadableStream({ pull(c) { c.enqueue(1); }, cancel(r) { why = r.name; } }).pipeTo(new WritableStream({ write() { throw new RangeError("x"); } })).catch(() => {}); return why; })()`,
    ],
    [
      "pipeTo that is aborted",
      `new ReadableStream({ pull(c) { c.enqueue(1); } }).pipeTo(new WritableStream(), { signal: AbortSignal.abort() })`,
    ],
    [
      "a transform",
      `${all}(ReadableStream.from(["a", "b"]).pipeThrough(new TransformStream({ transform(x, c) { c.enqueue(x + x); }, flush(c) { c.enqueue("!"); } })))`,
    ],
    ["nothing to transform", `${all}(ReadableStream.from([1]).pipeThrough(new TransformStream()))`],
    [
      "a transform that fails",
      `${all}(ReadableStream.from([1]).pipeThrough(new TransformStream({ transform() { throw new RangeError("x"); } })))`,
    ],
    [
      "terminate",
      `${all}(ReadableStream.from([1, 2, 3]).pipeThrough(new TransformStream({ transform(x, c) { c.enqueue(x); if (x === 2) c.terminate(); } })))`,
    ],
    [
      "texts to octets and back",
      `${all}(ReadableStream.from(["aß", "€"]).pipeThrough(new TextEncoderStream()).pipeThrough(new TextDecoderStream()))`,
    ],
    [
      "a character in two pieces",
      `(async () => (await ${all}(ReadableStream.from([new Uint8Array([0xe2, 0x82]), new Uint8Array([0xac])]).pipeThrough(new TextDecoderStream()))).join(""))()`,
    ],
  ],
  "Blob, Response, Request": [
    [
      "parts of a blob",
      `(async () => { const b = new Blob(["aß", new Uint8Array([65]), new Blob(["x"])], { type: "Text/Plain" }); return [b.size, b.type, await b.text()]; })()`,
    ],
    [
      "slices",
      `Promise.all([[1, 3], [-2], [2, 1], [0, 99], [undefined, -1]].map(([a, b]) => new Blob(["abcd"]).slice(a, b).text()))`,
    ],
    [
      "a blob's octets and stream",
      `(async () => [(await new Blob(["ab"]).arrayBuffer()).byteLength, (await ${all}(new Blob(["ab"]).stream())).length])()`,
    ],
    ["a blob of no list", `new Blob("abc")`],
    [
      "a body of every kind",
      `Promise.all(["t", ${bytes("u")}, ${bytes("v")}.buffer, new Blob(["b"]), new URLSearchParams("a=1"), ReadableStream.from([${bytes("s")}])].map((b) => new Response(b).text()))`,
    ],
    [
      "the type that goes with it",
      `["t", new Blob(["b"], { type: "a/b" }), new URLSearchParams("a=1"), new Uint8Array(1)].map((b) => new Response(b).headers.get("content-type"))`,
    ],
    ["a type that was given", `new Response("x", { headers: { "Content-Type": "a/b" } }).headers.get("content-type")`],
    ["JSON", `new Response('{"a":1}').json()`],
    ["no JSON", `new Response("{").json()`],
    [
      "Response.json",
      `(async () => { const r = Response.json({ a: 1 }, { status: 201 }); return [r.status, r.ok, r.headers.get("content-type"), await r.text()]; })()`,
    ],
    [
      "read twice",
      `(async () => { const r = new Response("x"); await r.text(); return [r.bodyUsed, await r.text()]; })()`,
    ],
    [
      "a copy is read by itself",
      `(async () => { const r = new Response("x"); const c = r.clone(); return [await r.text(), await c.text()]; })()`,
    ],
    [
      "a copy of a stream",
      `(async () => { const r = new Response(ReadableStream.from([${bytes("x")}])); const c = r.clone(); return [await c.text(), await r.text()]; })()`,
    ],
    ["a copy of what was read", `(async () => { const r = new Response("x"); await r.text(); r.clone(); })()`],
    ["no body", `(async () => { const r = new Response(null); return [r.body, await r.text(), await r.text()]; })()`],
    ["body as a stream", `(async () => (await ${all}(new Response("ab").body)).map((b) => [...b]))()`],
    ["a byte order mark goes", `new Response(new Uint8Array([239, 187, 191, 65])).text()`],
    ["a status that is none", `new Response("", { status: 99 })`],
    ["a body with 204", `new Response("x", { status: 204 })`],
    [
      "a redirect",
      `(() => { const r = Response.redirect("https://ex.org/a", 301); return [r.status, r.headers.get("location")]; })()`,
    ],
    ["a stream of texts", `new Response(ReadableStream.from(["x"])).text()`],
    [
      "a request",
      `(async () => { const r = new Request("https://ex.org", { method: "post", body: "x", headers: { a: "1" } }); return [r.method, r.url, r.headers.get("a"), r.headers.get("content-type"), await r.text()]; })()`,
    ],
    ["a GET with a body", `new Request("https://ex.org", { body: "x" })`],
    [
      "a request of a request",
      `(() => { const r = new Request(new Request("https://ex.org/a", { headers: { a: "1" } }), { method: "PUT" }); return [r.method, r.url, r.headers.get("a")]; })()`,
    ],
    ["a request to nowhere", `new Request("nowhere")`],
  ],
};
describe.each(Object.entries(tables))("%s", (_name, table) => {
  it("is as Node has it", async () => {
    const expressions = table.map(([, expression]) => expression);
    const got = await inIsolate({ sandbox, folder }, expressions);
    const wanted = await inNode(expressions);
    expect(table.map(([why], index) => `${why}: ${got[index]}`)).toEqual(
      table.map(([why], index) => `${why}: ${wanted[index]}`),
    );
  });
});
