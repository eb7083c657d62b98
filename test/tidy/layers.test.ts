import { describe, expect, test } from "vitest";
import { importsOf, readSourceFiles } from "./source-files.ts";

/** From left to right; an import goes to the right. Peers on one place never import each other. */
const layers: readonly (readonly string[])[] = [
  ["cli", "index"],
  ["main"],
  ["admin", "config"],
  ["inbound", "outbound", "sinks", "scripting"],
  ["queue"],
  ["events"],
  ["smtp", "spool"],
  ["mail"],
  ["platform"],
];

/** The layer a file of src belongs to: its folder; a file beside them is part of `main`, but for what embedders import. */
function layerOf(path: string): string {
  const [, folder, rest] = path.split("/");
  if (rest !== undefined) return folder!;
  return path === "src/index.ts" ? "index" : "main";
}

function placeOf(layer: string): number {
  return layers.findIndex((peers) => peers.includes(layer));
}

/** Why this import is not allowed; undefined where it is. */
function objectionTo(from: string, to: string): string | undefined {
  const ours = /^(?:src|sandbox|scripts|test)\//.test(to);
  const [area] = from.split("/");
  if (area === "test") return undefined;
  if (area === "sandbox")
    return ours && !to.startsWith("sandbox/") ? "the sandbox imports nothing but itself" : undefined;
  if (area === "scripts")
    return to.startsWith("scripts/") || !ours ? undefined : "a script knows the API and nothing else";
  if (!ours) return undefined;
  if (to.startsWith("sandbox/"))
    return placeOf(layerOf(from)) <= placeOf("scripting")
      ? undefined
      : "only scripting and what is left of it knows the sandbox";
  if (!to.startsWith("src/")) return "src imports neither tests nor scripts";
  const [one, other] = [layerOf(from), layerOf(to)];
  if (placeOf(one) === -1) return `src/${one} is no layer: give it a place in this test and in CONTRIBUTING`;
  if (one === other || placeOf(one) < placeOf(other)) return undefined;
  return placeOf(one) === placeOf(other) ? `${one} and ${other} are peers` : `${one} is to the right of ${other}`;
}

describe("objectionTo", () => {
  const rows: readonly [why: string, from: string, to: string, allowed: boolean][] = [
    ["to the right", "src/inbound/reception.ts", "src/mail/path.ts", true],
    ["within a layer", "src/mail/path.ts", "src/mail/mailbox.ts", true],
    ["to the left", "src/mail/path.ts", "src/events/event.ts", false],
    ["a peer", "src/spool/sqlite.ts", "src/smtp/reply.ts", false],
    ["main to all", "src/main.ts", "src/admin/api.ts", true],
    ["cli to main", "src/cli/serve.ts", "src/main.ts", true],
    ["main to cli", "src/main.ts", "src/cli/serve.ts", false],
    ["what embedders import is no part of the server", "src/main.ts", "src/index.ts", false],
    ["scripting to the sandbox", "src/scripting/runner.ts", "sandbox/protocol.ts", true],
    ["mail to the sandbox", "src/mail/path.ts", "sandbox/protocol.ts", false],
    ["the sandbox to src", "sandbox/host.ts", "src/platform/fault.ts", false],
    ["the sandbox to packages", "sandbox/compile.ts", "esbuild", true],
    ["a script to the server", "scripts/x.ts", "src/mail/path.ts", false],
    ["a script to the sandbox", "scripts/x.ts", "sandbox/api.ts", false],
    ["a script to the API", "scripts/x.ts", "onarrival", true],
    ["src to tests", "src/mail/path.ts", "test/support/x.ts", false],
    ["a folder that is no layer", "src/utils/x.ts", "src/mail/path.ts", false],
  ];
  test.each(rows)("%s: %s → %s", (_why, from, to, allowed) => {
    expect(objectionTo(from, to) === undefined).toBe(allowed);
  });
});

describe("the source", () => {
  const files = readSourceFiles("src", "sandbox", "scripts", "test");

  test("imports obey the arrows", () => {
    const objections = files.flatMap((file) =>
      importsOf(file).flatMap((to) => {
        const objection = objectionTo(file.path, to);
        return objection ? [`${file.path} → ${to}: ${objection}`] : [];
      }),
    );
    expect(objections).toEqual([]);
  });

  test("has the imports this test reads: it does not look at nothing", () => {
    const dispatcher = files.find((file) => file.path === "src/events/dispatcher.ts")!;
    expect(importsOf(dispatcher)).toContain("src/platform/clock.ts");
    expect(
      importsOf({
        path: "src/a/b.ts",
        text: 'import {\n  type A,\n  b,\n} from "../mail/c.ts";\nexport * from "./d.ts";\nimport "./e.ts";\nawait import("pino");\n// import x from "./no.ts"',
      }),
    ).toEqual(["src/mail/c.ts", "src/a/d.ts", "src/a/e.ts", "pino"]);
  });

  test("has no cycles, types included", () => {
    const targets = new Map(files.map((file) => [file.path, importsOf(file)]));
    const cycles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      if (done.has(path) || trail.includes(path)) return;
      for (const to of targets.get(path) ?? []) visit(to, [...trail, path]);
      done.add(path);
    };
    for (const path of targets.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test("has one barrel, src/index.ts: no other file hands on whole modules, or nothing but what others export", () => {
    const isBarrel = (text: string) =>
      /^export \* /m.test(text) ||
      (/^export (?:type )?\{[^}]*\} from/m.test(text) &&
        !/^export (?:(?:async )?function|class|const|interface|type \w+ ?[=<])/m.test(text));
    const barrels = files.filter(({ path, text }) => path !== "src/index.ts" && isBarrel(text));
    expect(barrels.map(({ path }) => path)).toEqual([]);
    expect(isBarrel('export * from "./a.ts";')).toBe(true);
    expect(isBarrel('export { a } from "./a.ts";\nexport type { B } from "./b.ts";')).toBe(true);
    expect(isBarrel('export { a } from "./a.ts";\nexport function b() {}')).toBe(false);
  });
});
