/** The declaration files with both compilers an editor may have: every example compiles, and each wrong use is an error where it stands. */
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  apiPaths,
  compareDeclarations,
  readDeclarations,
  scriptCompilerOptions,
} from "../../../src/scripting/declarations.ts";
import { findCompiler, parseProblems } from "../../../src/scripting/typecheck.ts";

const project = join(import.meta.dirname, "../../..");
const typescript6 = join(project, "node_modules/typescript/bin/tsc");
const compilers: readonly (readonly [name: string, command: readonly string[]])[] = [
  ["TypeScript 6", [process.execPath, typescript6]],
  ["TypeScript 7", [findCompiler() ?? "typescript7 is not installed"]],
];

/** `«…»` marks the place where the error is told. Some errors have another number with the other compiler. */
const wrongUses: readonly (readonly [why: string, code: string, body: string])[] = [
  ["a verdict of a message at a recipient", "TS2339", "onRcptTo: RcptToHandler = (rcpt) => rcpt.«quarantine»('x')"],
  ["a way that onRcptTo does not have", "TS2339", "onRcptTo: RcptToHandler = (rcpt) => rcpt.«fileInto»('Junk')"],
  ["dropping the connection at the end of data", "TS2339", "onArrival: ArrivalHandler = (mail) => mail.«drop»('x')"],
  ["refusing what was delivered", "TS2339", "onDelivered: DeliveredHandler = (mail) => mail.«refuse»('x')"],
  ["editing what was delivered", "TS2540", "onDelivered: DeliveredHandler = (mail) => { mail.«subject» = 'x'; }"],
  [
    "recipients where they are final",
    "TS2339",
    "onPostCategorize: PostCategorizeHandler = (mail) => mail.envelope.«add»('a@example.org')",
  ],
  ["a banner behind the greeting", "TS2339", "onHelo: HeloHandler = (helo) => helo.«setBanner»('x')"],
  ["a body where there is only a header", "TS2339", "onHeaders: HeadersHandler = (headers) => { headers.«text»(); }"],
  ["a reply without words", "TS2554", "onArrival: ArrivalHandler = (mail) => mail.«refuse»()"],
  [
    "an option that is not there",
    "TS2353",
    "onArrival: ArrivalHandler = (mail) => mail.refuse('x', { «status_code»: 550 })",
  ],
  ["a code that is no number", "TS2322", "onArrival: ArrivalHandler = (mail) => mail.defer('x', { «code»: '451' })"],
  ["a promise used as a text", "TS2339", "onArrival: ArrivalHandler = (mail) => { mail.text().«includes»('x'); }"],
  [
    "a promise put where a text belongs",
    "TS2322",
    "onArrival: ArrivalHandler = (mail) => { «mail.subject» = mail.text(); }",
  ],
  [
    "a field that may not be there",
    "TS2532",
    "onArrival: ArrivalHandler = (mail) => { «mail.headers.get('X')».length; }",
  ],
  ["a From that may not be there", "TS18047", "onArrival: ArrivalHandler = (mail) => { «mail.from».address; }"],
  [
    "the first of a list that may be empty",
    "TS2532",
    "onArrival: ArrivalHandler = (mail) => { «mail.to[0]».address; }",
  ],
  ["writing the id", "TS2540", "onArrival: ArrivalHandler = (mail) => { mail.«id» = 'x'; }"],
  ["a store of functions", "TS2345", "onArrival: ArrivalHandler = async (_mail, { kv }) => kv.set('x', «() => {}»)"],
  [
    "an option of the store in words of another",
    "TS2353",
    "onArrival: ArrivalHandler = async (_mail, { kv }) => kv.set('x', 1, { «expires»: 60 })",
  ],
  [
    "a look-up that is not there",
    "TS2339",
    "onArrival: ArrivalHandler = async (_mail, { dns }) => { await dns.«mxs»('x'); }",
  ],
  ["a grant that is not there", "TS2561", "grants: Grants = { «https»: ['https://a.example'] }"],
  ["a handler that gives something back", "TS2322", "onArrival: ArrivalHandler = () => «5»"],
  ["Node's own", "TS2591 TS2580 TS2304", "onArrival: ArrivalHandler = () => { «process».exit(); }"],
  ["a way in that is none", "TS2345", "onRcptTo: RcptToHandler = (rcpt) => rcpt.accept(«'yes'»)"],
  [
    "a message of its own without a subject",
    "TS2345 TS2741",
    "onArrival: ArrivalHandler = (mail) => { mail.submit(«{ to: 'a@example.org' }»); }",
  ],
];

let site: string;
beforeAll(async () => {
  site = mkdtempSync(join(tmpdir(), "onarrival-declarations-"));
  mkdirSync(join(site, ".onarrival"));
  mkdirSync(join(site, "scripts"));
  mkdirSync(join(site, "wrong"));
  for (const [name, text] of await readDeclarations()) writeFileSync(join(site, ".onarrival", name), text);
  for (const file of globSync(join(project, "scripts/*.ts")))
    cpSync(file, join(site, "scripts", file.slice(file.lastIndexOf("/"))));
  // The globals are found without an import.
  writeFileSync(
    join(site, "scripts", "globals.ts"),
    'export const onData = (): string => new URL("https://a.example").searchParams.get("x") ?? "";\n',
  );
  for (const folder of ["scripts", "wrong"]) {
    const options = { ...scriptCompilerOptions, paths: apiPaths("../.onarrival", ".d.ts") };
    writeFileSync(
      join(site, folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, include: ["*.ts", "../.onarrival/*.d.ts"] }),
    );
  }
  for (const [at, [, , body]] of wrongUses.entries())
    writeFileSync(join(site, "wrong", `use-${at}.ts`), sourceOf(body));
});
afterAll(() => rmSync(site, { recursive: true }));

function sourceOf(body: string): string {
  const name = /: (\w+)/.exec(body)![1];
  return `import type { ${name} } from "onarrival";\nexport const ${body.replaceAll(/[«»]/g, "")};\n`;
}

function compile(command: readonly string[], folder: string): string {
  const [program, ...args] = command;
  try {
    return execFileSync(program!, [...args, "-p", ".", "--pretty", "false"], { cwd: folder, encoding: "utf8" });
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

describe.each(compilers)("with %s", (_name, command) => {
  test("every example compiles", () => {
    expect(compile(command, join(site, "scripts"))).toBe("");
  });

  describe("each wrong use is one error, at its place", () => {
    let problems: ReturnType<typeof parseProblems>;
    beforeAll(() => {
      problems = parseProblems(compile(command, join(site, "wrong")), join(site, "wrong"));
    });
    test.each(wrongUses.map((use, at) => [...use, at] as const))("%s", (_why, code, body, at) => {
      const found = problems.filter(({ file }) => file.endsWith(`/use-${at}.ts`));
      const column = "export const ".length + body.indexOf("«") + 1;
      expect(
        found.map(({ line, column }) => ({ line, column })),
        JSON.stringify(found),
      ).toEqual([{ line: 2, column }]);
      expect(code.split(" ")).toContain(found[0]!.code);
    });
  });
});

describe("compareDeclarations", () => {
  const before =
    "export interface Mail {\n  /** Old words. */\n  subject: string;\n  size: number;\n  text(): string;\n}\nexport type Json = null;\n";
  test.each<[why: string, after: string, added: string[], removed: string[], changed: string[]]>([
    ["the same", before, [], [], []],
    ["other words of a comment", before.replace("Old", "New"), [], [], []],
    ["a member more", before.replace("  size", "  more(): void;\n  size"), ["Mail.more"], [], []],
    ["a member less", before.replace("  size: number;\n", ""), [], ["Mail.size"], []],
    ["a member of another type", before.replace("size: number", "size: bigint"), [], [], ["Mail.size"]],
    ["a type more, with its members", `${before}export interface Store {\n  get(): void;\n}\n`, ["Store"], [], []],
    ["another type", before.replace("= null", "= 5"), [], [], ["Json"]],
    ["another ancestor", before.replace("interface Mail {", "interface Mail extends Json {"), [], [], ["Mail"]],
  ])("tells %s", (_why, after, added, removed, changed) => {
    expect(compareDeclarations(before, after)).toEqual({ added, removed, changed });
  });
});
