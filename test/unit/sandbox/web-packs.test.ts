/** Globals of the web in scripts: the same as Node's own, expression by expression. What is ours alone is in web-own.test.ts. */
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

const urlParts =
  "(({href,origin,protocol,username,password,host,hostname,port,pathname,search,hash}) => ({href,origin,protocol,username,password,host,hostname,port,pathname,search,hash}))";

const tables: Readonly<Record<string, Table>> = {
  URL: [
    ["every part", `${urlParts}(new URL("https://u:p@ex.org:8443/a/b?x=1#h"))`],
    ["a base", `new URL("../c?d", "https://ex.org/a/b/").href`],
    ["a base that is a URL", `new URL("x", new URL("https://ex.org/a/")).href`],
    ["the default port goes", `new URL("https://ex.org:443/").host`],
    ["dots are resolved", `new URL("http://ex.org/a/./b/../c").pathname`],
    ["a name in other letters", `new URL("https://bücher.example/ü?ü#ü").href`],
    ["IPv4 in other shapes", `new URL("http://0x7f.1/").hostname`],
    ["IPv6", `new URL("http://[::1]:80/").host`],
    ["no scheme", `new URL("ex.org/a")`],
    ["an empty text", `new URL("")`],
    ["a port that is none", `new URL("http://ex.org:99999/")`],
    ["spaces around", `new URL("  https://ex.org/ ").href`],
    ["a backslash", `new URL("https://ex.org\\\\a").href`],
    ["a scheme without slashes", `${urlParts}(new URL("mailto:a@ex.org?subject=x"))`],
    ["an opaque origin", `new URL("data:text/plain,x").origin`],
    ["user info in a trap", `new URL("https://good.example@evil.example/").hostname`],
    ["half a surrogate pair", `new URL("https://ex.org/\\ud800").href`],
    [
      "setting parts",
      `(() => { const u = new URL("https://ex.org/a"); u.pathname = "b c"; u.hash = "x"; u.port = "81"; u.protocol = "http"; u.username = "ü"; return u.href; })()`,
    ],
    [
      "setting what cannot be",
      `(() => { const u = new URL("https://ex.org/a"); u.port = "x"; u.protocol = "mailto"; u.hostname = ""; return u.href; })()`,
    ],
    [
      "setting href",
      `(() => { const u = new URL("https://ex.org/a"); u.href = "http://b.example/"; return u.host; })()`,
    ],
    ["setting href to nothing", `(() => { new URL("https://ex.org/a").href = "nothing"; })()`],
    [
      "searchParams changes the URL",
      `(() => { const u = new URL("https://ex.org/?a=1"); u.searchParams.append("b", "2 3"); u.searchParams.delete("a"); return u.href; })()`,
    ],
    [
      "the URL changes searchParams",
      `(() => { const u = new URL("https://ex.org/?a=1"); const p = u.searchParams; u.search = "?c=3"; return [p.get("a"), p.get("c"), p === u.searchParams]; })()`,
    ],
    [
      "an empty query goes",
      `(() => { const u = new URL("https://ex.org/?a=1"); u.searchParams.delete("a"); return u.href; })()`,
    ],
    ["as JSON", `({ url: new URL("https://ex.org") })`],
    ["canParse", `[URL.canParse("a:b"), URL.canParse("b"), URL.canParse("b", "http://a/")]`],
    ["parse", `[URL.parse("a:b").href, URL.parse("b")]`],
    ["its class", `Object.prototype.toString.call(new URL("a:b"))`],
  ],
  URLSearchParams: [
    ["a text", `[...new URLSearchParams("?a=1&b=%20+&c&&=d")]`],
    ["an object", `new URLSearchParams({ a: "1 &", b: "ü" }).toString()`],
    ["pairs", `new URLSearchParams([["a", "1"], ["a", "2"]]).getAll("a")`],
    ["another one", `new URLSearchParams(new URLSearchParams("a=1")).toString()`],
    ["a pair of three", `new URLSearchParams([["a", "b", "c"]])`],
    ["a pair of one", `new URLSearchParams([["a"]])`],
    ["numbers", `new URLSearchParams({ a: 1, b: null }).toString()`],
    [
      "get, has, size",
      `(() => { const p = new URLSearchParams("a=1&a=2"); return [p.get("a"), p.get("b"), p.has("a"), p.has("a", "2"), p.has("a", "3"), p.size]; })()`,
    ],
    [
      "set",
      `(() => { const p = new URLSearchParams("a=1&b=2&a=3"); p.set("a", "4"); p.set("c", "5"); return p.toString(); })()`,
    ],
    [
      "delete with a value",
      `(() => { const p = new URLSearchParams("a=1&a=2"); p.delete("a", "1"); return p.toString(); })()`,
    ],
    [
      "sort is stable",
      `(() => { const p = new URLSearchParams("z=1&a=2&z=0&a=1"); p.sort(); return p.toString(); })()`,
    ],
    [
      "forEach",
      `(() => { const seen = []; new URLSearchParams("a=1&b=2").forEach((v, k) => seen.push(k + v)); return seen; })()`,
    ],
    [
      "keys, values, entries",
      `(() => { const p = new URLSearchParams("a=1"); return [[...p.keys()], [...p.values()], [...p.entries()]]; })()`,
    ],
    ["what is escaped", `new URLSearchParams({ a: "~!*()'-._ %/" }).toString()`],
    ["octets that are no UTF-8", `[...new URLSearchParams("a=%ff%zz")]`],
  ],
  "TextEncoder and TextDecoder": [
    ["every length", `[...new TextEncoder().encode("aß€😀")]`],
    ["half a pair", `[...new TextEncoder().encode("\\ud800x\\udc00")]`],
    ["nothing", `[...new TextEncoder().encode()]`],
    [
      "encodeInto with little room",
      `(() => { const b = new Uint8Array(4); const r = new TextEncoder().encodeInto("a€😀", b); return [r, [...b]]; })()`,
    ],
    [
      "a broken pair in encodeInto",
      `(() => { const b = new Uint8Array(9); return new TextEncoder().encodeInto("\\ud800", b); })()`,
    ],
    ["UTF-8", `new TextDecoder().decode(new TextEncoder().encode("aß€😀"))`],
    [
      "a byte order mark",
      `[new TextDecoder().decode(new Uint8Array([239, 187, 191, 65])), new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array([239, 187, 191, 65])).length]`,
    ],
    ["no UTF-8", `new TextDecoder().decode(new Uint8Array([0x61, 0xff, 0xe2, 0x82, 0x62]))`],
    ["no UTF-8, fatal", `new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]))`],
    ["fatal, cut off", `new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xe2, 0x82]))`],
    [
      "names",
      `["latin1", "ascii", "utf8", "UTF-16", "sjis", "gb2312", "big5", "euc-kr", "koi8-r", "iso-8859-15", "windows-1251"].map((n) => new TextDecoder(n).encoding)`,
    ],
    ["no such name", `new TextDecoder("klingon")`],
    ["windows-1252 is what latin1 means", `new TextDecoder("latin1").decode(new Uint8Array([0x80, 0x93, 0xe9]))`],
    ["Shift_JIS", `new TextDecoder("shift_jis").decode(new Uint8Array([0x93, 0xfa, 0x96, 0x7b]))`],
    ["GB18030", `new TextDecoder("gb18030").decode(new Uint8Array([0xc4, 0xe3, 0xba, 0xc3]))`],
    ["ISO-2022-JP", `new TextDecoder("iso-2022-jp").decode(new Uint8Array([27, 36, 66, 70, 124, 27, 40, 66]))`],
    [
      "UTF-16",
      `[new TextDecoder("utf-16le").decode(new Uint8Array([0x3d, 0xd8, 0, 0xde])), new TextDecoder("utf-16be").decode(new Uint8Array([0xd8, 0x3d, 0xde, 0]))]`,
    ],
    [
      "views and buffers",
      `[new TextDecoder().decode(new Uint8Array([65, 66, 67]).subarray(1)), new TextDecoder().decode(new DataView(new Uint8Array([65, 66]).buffer, 1)), new TextDecoder().decode(new Uint8Array([65]).buffer)]`,
    ],
    ["no octets", `new TextDecoder().decode("text")`],
    ...["utf-8", "utf-16le", "utf-16be", "shift_jis", "gb18030", "windows-1252", "iso-2022-jp"].map(
      (charset): readonly [string, string] => [
        `${charset}, octet by octet`,
        `(() => { const d = new TextDecoder("${charset}"); let t = ""; for (const o of [0xef, 0xbb, 0xbf, 0x41, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0x3d, 0xd8, 0x00, 0xde, 0x61]) t += d.decode(new Uint8Array([o]), { stream: true }); return t + d.decode(); })()`,
      ],
    ),
    [
      "used again after the end",
      `(() => { const d = new TextDecoder(); d.decode(new Uint8Array([0xe2]), { stream: true }); const t = d.decode(); return [t, d.decode(new Uint8Array([239, 187, 191, 65]))]; })()`,
    ],
  ],
  "atob and btoa": [
    ["there and back", `atob(btoa("h\\u00e9\\u0000"))`],
    ["without padding, with spaces", `atob(" YQ ")`],
    ["a wrong length", `atob("YQYQY")`],
    ["no base64", `atob("*")`],
    ["half a padding", `atob("YQ=")`],
    ["a character too high", `btoa("€")`],
  ],
  Headers: [
    [
      "values of one name",
      `(() => { const h = new Headers([["A", "1"], ["a", "2"]]); return [h.get("a"), [...h]]; })()`,
    ],
    ["sorted, in lower case", `[...new Headers({ B: "1", a: "2" })]`],
    [
      "Set-Cookie stays apart",
      `(() => { const h = new Headers([["set-cookie", "a"], ["set-cookie", "b"]]); return [[...h], h.getSetCookie(), h.get("set-cookie")]; })()`,
    ],
    [
      "set, append, delete, has",
      `(() => { const h = new Headers({ a: "1" }); h.set("A", "2"); h.append("b", "3"); h.append("B", "4"); h.delete("a"); return [h.has("a"), h.get("b"), h.get("c")]; })()`,
    ],
    ["spaces around a value", `new Headers({ a: " \\t x y \\r\\n" }).get("a")`],
    ["a line end in a value", `new Headers({ a: "x\\r\\nb: y" })`],
    ["NUL", `new Headers({ a: "\\u0000" })`],
    ["a character too high", `new Headers({ a: "€" })`],
    ["no name", `new Headers({ "": "x" })`],
    ["a space in a name", `new Headers().get("a b")`],
    ["others", `[...new Headers(new Headers({ a: "1" }))]`],
    ["pairs of three", `new Headers([["a", "b", "c"]])`],
    [
      "forEach",
      `(() => { const seen = []; new Headers({ b: "1", a: "2" }).forEach((v, k) => seen.push(k + v)); return seen; })()`,
    ],
  ],
  "AbortController, AbortSignal, EventTarget": [
    [
      "an abort",
      `(() => { const c = new AbortController(); const seen = []; c.signal.addEventListener("abort", (e) => seen.push(e.type)); c.signal.onabort = () => seen.push("on"); c.abort(); c.abort(); return [seen, c.signal.aborted, c.signal.reason.name]; })()`,
    ],
    ["a reason", `(() => { const c = new AbortController(); c.abort("why"); return c.signal.reason; })()`],
    ["throwIfAborted", `AbortSignal.abort().throwIfAborted()`],
    [
      "any",
      `(() => { const c = new AbortController(); const s = AbortSignal.any([new AbortController().signal, c.signal]); c.abort(1); return [s.aborted, s.reason]; })()`,
    ],
    ["any of one that is aborted", `AbortSignal.any([AbortSignal.abort(2)]).reason`],
    ["nobody makes a signal", `new AbortSignal()`],
    [
      "once",
      `(() => { let n = 0; const t = new EventTarget(); t.addEventListener("x", () => n++, { once: true }); t.dispatchEvent(new Event("x")); t.dispatchEvent(new Event("x")); return n; })()`,
    ],
    [
      "removed",
      `(() => { let n = 0; const f = () => n++; const t = new EventTarget(); t.addEventListener("x", f); t.addEventListener("x", f); t.removeEventListener("x", f); t.dispatchEvent(new Event("x")); return n; })()`,
    ],
    [
      "preventDefault",
      `(() => { const t = new EventTarget(); t.addEventListener("x", (e) => e.preventDefault()); return [t.dispatchEvent(new Event("x", { cancelable: true })), t.dispatchEvent(new Event("x"))]; })()`,
    ],
    [
      "an object that listens",
      `(() => { let n = 0; const t = new EventTarget(); t.addEventListener("x", { handleEvent() { n++; } }); t.dispatchEvent(new Event("x")); return n; })()`,
    ],
    [
      "DOMException",
      `(() => { const e = new DOMException("m", "AbortError"); return [e.name, e.message, e.code, e instanceof Error]; })()`,
    ],
  ],
  structuredClone: [
    ["plain values", `structuredClone({ a: [1, null, "x", { b: true }], u: undefined })`],
    ["is a copy", `(() => { const a = { b: {} }; return structuredClone(a).b === a.b; })()`],
    ["a circle", `(() => { const a = {}; a.a = a; const c = structuredClone(a); return c.a === c; })()`],
    [
      "Date, Map, Set, RegExp",
      `(() => { const c = structuredClone({ d: new Date(5), m: new Map([[{ k: 1 }, 2]]), s: new Set([3]), r: /x/gi }); return [c.d.getTime(), [...c.m], [...c.s], String(c.r)]; })()`,
    ],
    [
      "octets",
      `(() => { const c = structuredClone(new Uint16Array([1, 2])); return [c instanceof Uint16Array, [...c]]; })()`,
    ],
    [
      "errors",
      `(() => { const c = structuredClone(new RangeError("x", { cause: 1 })); return [c instanceof RangeError, c.message, c.cause]; })()`,
    ],
    ["a sparse array", `(() => { const c = structuredClone([, 1]); return [c.length, 0 in c]; })()`],
    ["a function", `structuredClone(() => {})`],
    ["a symbol", `structuredClone({ a: Symbol() })`],
    ["an instance", `(() => { class A { x = 1 } const c = structuredClone(new A()); return [c, c instanceof A]; })()`],
    ["__proto__ as a name", `Object.getOwnPropertyNames(structuredClone(JSON.parse('{"__proto__":{"x":1}}')))`],
  ],
  "crypto, queueMicrotask": [
    ...["SHA-1", "sha-256", "SHA-384", "SHA-512"].map((name): readonly [string, string] => [
      name,
      `crypto.subtle.digest("${name}", new TextEncoder().encode("abc")).then((b) => [...new Uint8Array(b)])`,
    ]),
    [
      "an algorithm by an object",
      `crypto.subtle.digest({ name: "SHA-256" }, new Uint8Array(1)).then((b) => b.byteLength)`,
    ],
    ["no such hash", `crypto.subtle.digest("MD5", new Uint8Array(1))`],
    ["a UUID", `/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())`],
    [
      "gives what it was given",
      `(() => { const b = new Uint8Array(32); return [crypto.getRandomValues(b) === b, b.some((o) => o > 0)]; })()`,
    ],
    ["65,536 octets", `crypto.getRandomValues(new Uint8Array(65536)).length`],
    ["more than 65,536 octets", `crypto.getRandomValues(new Uint8Array(65537))`],
    ["floats", `crypto.getRandomValues(new Float64Array(1))`],
    [
      "a microtask",
      `(async () => { const seen = []; queueMicrotask(() => seen.push(1)); seen.push(0); await null; await null; return seen; })()`,
    ],
    ["no function", `queueMicrotask(1)`],
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
