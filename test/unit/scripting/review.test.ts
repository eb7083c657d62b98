/** The review: what it finds in scripts and where, and what it leaves alone. `«` stands before the place a finding is told at. */
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileScript, stopCompiler } from "../../../sandbox/compile.ts";
import { readGrants } from "../../../sandbox/export-grants.ts";
import type { ScriptExports } from "../../../sandbox/protocol.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { reviewScript } from "../../../src/scripting/review.ts";
import { type Finding, type FindingCode, findingCodes } from "../../../src/scripting/review-finding.ts";
import { createReviewGate } from "../../../src/scripting/review-gate.ts";
import { createScriptFolder, type ScriptFolder } from "../../support/scripts.ts";

let folder: ScriptFolder;
beforeAll(async () => {
  folder = await createScriptFolder();
});
afterAll(async () => {
  await stopCompiler();
  await folder.remove();
});

/** As the sandbox would tell them. */
function exportsOf(source: string): ScriptExports {
  const rule = /export const rule =\s*"(.*)"/.exec(source)?.[1];
  const grants = /export const grants = (\{.*\});/.exec(source)?.[1];
  return {
    handlers: [...source.matchAll(/export (?:const|(?:async )?function) (on\w+)/g)].map((match) => match[1]!),
    ...(rule !== undefined && { rule }),
    ...(grants !== undefined && { grants: readGrants(new Function(`return ${grants}`)()) }),
  };
}

async function review(marked: string, name?: string): Promise<readonly Finding[]> {
  const source = marked.replaceAll("«", "");
  return reviewScript({ compiled: await folder.compile(source, name), exports: exportsOf(source) });
}

/** `code line:column` of each mark, the same as `told` gives of findings. */
function marksIn(code: FindingCode, marked: string): readonly string[] {
  return marked
    .split("\n")
    .flatMap((line, at) =>
      line
        .split("«")
        .slice(0, -1)
        .map((_, mark, parts) => [at + 1, parts.slice(0, mark + 1).join("").length + 1]),
    )
    .map(([line, column]) => `${code} ${line}:${column}`);
}

function told(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ code, at }) => `${code} ${at.replace(/^.*?:/, "")}`);
}

const on = (body: string, context = "{ kv, dns, http, log }") =>
  `export const grants = { http: ["https://a.example"], kv: true, dns: true };\nexport const onArrival = async (mail, ${context}) => {\n  void (mail.size, kv, dns, http);\n${body}\n};`;

const cases: readonly (readonly [why: string, code: FindingCode, marked: string])[] = [
  ["a text that is not awaited", "unawaited", on("  «mail.setText('x');")],
  ["one behind a condition", "unawaited", on("  mail.subject && «mail.setText('x');")],
  ["a promise as a condition", "unawaited", on("  if («kv.get('x')) log.info('x');")],
  ["a promise as a condition, turned around", "unawaited", on("  if (!«kv.get('x')) log.info('x');")],
  ["a promise as a condition, one of two", "unawaited", on("  log.info(«kv.get('x') ? 1 : 2);")],
  ["a member of a promise", "unawaited", on("  log.info(«mail.text().length);")],
  ["a promise in a template", "unawaited", on(`  log.info(\`\${«mail.text()}\`);`)],
  ["a promise in a sum", "unawaited", on("  log.info('x' + «mail.text());")],
  ["a promise that is thrown away", "unawaited", on("  void «mail.attach({});")],
  ["then, and nobody waits", "unawaited", on("  «mail.text().then((text) => log.info(text));")],
  ["a variable that is never awaited", "unawaited", on("  const text = «mail.text();")],
  ["a variable that is used as its value", "unawaited", on("  const text = mail.text();\n  log.info(«text.length);")],
  [
    "an async function of the script's own",
    "unawaited",
    `async function look(x) { return x; }\n${on("  «look(mail.subject);")}`,
  ],
  [
    "one that is a constant",
    "unawaited",
    `const look = async (x) => x;\n${on("  if («look(mail.subject)) log.info('x');")}`,
  ],
  ["fetch", "unawaited", on("  «fetch('https://a.example/x');")],
  [
    "an answer's body",
    "unawaited",
    on("  const answer = await http.get('https://a.example/');\n  log.info(«answer.json().name);"),
  ],
  [
    "names by another name",
    "unawaited",
    on("  «context.dns.a('x');\n  void [kv, dns, http];", "context").replaceAll(
      /kv, dns, http\)|void \[kv, dns, http\];/g,
      (text) => (text.startsWith("kv") ? "context.kv, context.http)" : ""),
    ),
  ],
  [
    "a content of an attachment",
    "unawaited",
    on("  for (const part of mail.attachments) log.info(«part.content().length);"),
  ],
  [
    "a content in a callback",
    "unawaited",
    on("  if (mail.attachments.some((part) => «part.text().includes('x'))) log.info('x');"),
  ],
  [
    "an async function for forEach",
    "unawaited",
    on("  «mail.attachments.forEach(async (part) => { log.info(await part.text()); });"),
  ],
  [
    "an async function for filter",
    "unawaited",
    on("  log.info(«mail.attachments.filter(async (part) => (await part.text()) === 'x').length);"),
  ],
  [
    "mail handed to a function",
    "unawaited",
    `function look(message) { return «message.text().length; }\n${on("  log.info(look(mail));")}`,
  ],
  ["a method that was taken out", "unawaited", on("  const { setText } = mail;\n  «setText('x');")],

  ["two verdicts in a row", "two-verdicts", on("  mail.refuse('x');\n  «mail.defer('x');")],
  [
    "two conditions without a return",
    "two-verdicts",
    on("  if (mail.size > 1) mail.refuse('x');\n  if (mail.size > 2) «mail.defer('x');"),
  ],
  [
    "a verdict in a loop",
    "two-verdicts",
    on("  for (const part of mail.attachments) if (part.size > 1) «mail.refuse('x');"),
  ],
  [
    "a verdict behind one that may be given",
    "two-verdicts",
    on("  try { await mail.text(); mail.refuse('x'); } catch { «mail.defer('x'); }"),
  ],
  [
    "a case that falls through",
    "two-verdicts",
    on("  switch (mail.subject) { case 'a': mail.refuse('x'); case 'b': «mail.defer('x'); }"),
  ],
  ["settle behind a verdict", "two-verdicts", on("  mail.quarantine('x');\n  «mail.settle();")],
  [
    "verbs that were taken out",
    "two-verdicts",
    on("  const { refuse, defer } = mail;\n  refuse('x');\n  «defer('x');"),
  ],
  [
    "two in a session event",
    "two-verdicts",
    "export function onRcptTo(rcpt) { if (rcpt.recipient) rcpt.refuse('x'); «rcpt.drop(); }",
  ],

  [
    "a store that was not asked for",
    "grant-missing",
    "export const onArrival = async (mail, { kv }) => { mail.subject = await «kv.get('x'); };",
  ],
  [
    "names that were not asked for",
    "grant-missing",
    "export const onArrival = async (mail, context) => { mail.subject = await «context.dns.a('x'); };",
  ],
  [
    "the network",
    "grant-missing",
    "export const onArrival = async (mail) => { mail.subject = await «fetch('https://a.example'); };",
  ],
  ["another origin", "grant-missing", on("  await «http.get('https://b.example/x');")],
  [
    "another origin of a text that goes on",
    "grant-missing",
    on(`  await «http.post(\`https://b.example/\${mail.id}\`);`),
  ],
  ["another scheme", "grant-missing", on("  await «http.request('PUT', 'http://a.example/x');")],
  ["messages", "grant-missing", "export const onArrival = (mail) => { if (mail.size) «mail.reply({ text: 'x' }); };"],
  [
    "a secret",
    "grant-missing",
    'export const grants = { secrets: ["a"] };\nexport const onArrival = async (mail, { secrets }) => { mail.subject = (await secrets.get("a")) + (await «secrets.get("b")); };',
  ],
  [
    "a grant nothing uses",
    "grant-unused",
    "export const «grants = { kv: true };\nexport const onArrival = (mail) => { mail.subject = ''; };",
  ],
  [
    "a grant that is only taken out",
    "grant-unused",
    "export const «grants = { kv: true };\nexport const onArrival = (mail, { kv }) => { mail.subject = ''; };",
  ],
  [
    "a secret nobody reads",
    "grant-unused",
    'export const «grants = { secrets: ["a", "b"] };\nexport const onArrival = async (mail, { secrets }) => { mail.subject = await secrets.get("a"); };',
  ],

  ["the console", "console", on("  «console.log(mail.subject);")],
  ["a counter", "module-state", `let count = 0;\n${on(`  «count += 1;\n  if (count > 5) log.info('x');`)}`],
  ["a map", "module-state", `const seen = new Map();\n${on(`  «seen.set(mail.id, 1);`)}`],
  [
    "a list in another function",
    "module-state",
    `const seen = [];\nfunction keep(x) { «seen.push(x); }\n${on("  keep(mail.id);")}`,
  ],
  ["an object", "module-state", `const seen = {};\n${on(`  «seen[mail.id] = 1;`)}`],
  [
    "a regular expression that remembers",
    "module-state",
    `const re = /x/g;\n${on("  if («re.test(mail.subject)) log.info('x');")}`,
  ],
  ["a handler without a parameter", "unused-mail", "export const onArrival = «() => {};"],
  ["a handler that does not use it", "unused-mail", "export «function onRcptTo(rcpt, { log }) { log.info('x'); }"],

  [
    "a rule that always holds",
    "rule-all",
    `export const rule = «"RCPT TO=*@*; MAIL FROM=*";\nexport const onArrival = (mail) => mail.settle();`,
  ],
  [
    "a rule of an alternative that always holds",
    "rule-all",
    `export const rule = «"CLIENT=192.0.2.1; CLIENT=*";\nexport const onArrival = (mail) => mail.settle();`,
  ],
  [
    "a rule that comes too early",
    "rule-never",
    `export const rule = «"SUBJECT=x";\nexport const onRcptTo = (rcpt) => rcpt.settle();`,
  ],
  [
    "a verb where there is none",
    "rule-never",
    `export const rule = «"VERB=EHLO";\nexport const onArrival = (mail) => mail.settle();`,
  ],
  [
    "a domain without its at sign",
    "rule-trap",
    `export const rule = «"RCPT TO=*@*example.org";\nexport const onArrival = (mail) => mail.settle();`,
  ],

  ["a regular expression that explodes", "slow-regex", on("  if («/^(\\w+\\s?)*$/.test(mail.subject)) log.info('x');")],
  ["one made from a text", "slow-regex", on("  if («new RegExp('(a+)+$').test(mail.subject)) log.info('x');")],
  ["one in a row", "slow-regex", on("  if («/(.*),(.*),(.*)x/.test(mail.subject)) log.info('x');")],
];

/** Nothing of these is told. */
const fine: readonly (readonly [why: string, source: string])[] = [
  [
    "awaited calls",
    on(`  await mail.setText(await mail.text());\n  if (await kv.get('x')) log.info(\`\${await mail.html()}\`);`),
  ],
  [
    "promises that are awaited later",
    on("  const [text, html] = await Promise.all([mail.text(), mail.html()]);\n  log.info(text, html);"),
  ],
  ["a variable that is awaited later", on("  const text = mail.text();\n  await dns.a('x');\n  log.info(await text);")],
  ["a promise that is given back", on("  return mail.setText('x');")],
  ["a promise behind ??", on("  const text = (await kv.get('x')) ?? (await mail.text());\n  log.info(text);")],
  ["then that is awaited", on("  await mail.text().then((text) => log.info(text));")],
  [
    "a map of async functions",
    on("  await Promise.all(mail.attachments.map(async (part) => log.info(await part.text())));"),
  ],
  [
    "an async function of another name",
    `async function look(x) { return x; }\n${on("  const inner = (look) => look(1);\n  inner((x) => x);\n  await look(1);")}`,
  ],
  ["a get that is not the store's", on("  log.info(mail.headers.get('X').length);")],
  ["text of something else", on("  const other = { text: () => 'x' };\n  log.info(other.text().length);")],
  [
    "a verdict and a return",
    on(
      "  if (mail.size > 1) { mail.refuse('x'); return; }\n  if (mail.size > 2) return mail.defer('x');\n  mail.settle();",
    ),
  ],
  [
    "verdicts of branches",
    on("  if (mail.size > 1) mail.refuse('x');\n  else if (mail.size > 2) mail.defer('x');\n  else mail.settle();"),
  ],
  [
    "a verdict in a loop that is left",
    on("  for (const part of mail.attachments) if (part.size > 1) { mail.refuse('x'); break; }"),
  ],
  [
    "a verdict of cases",
    on(
      "  switch (mail.subject) { case 'a': mail.refuse('x'); break; case 'b': mail.defer('x'); break; default: mail.settle(); }",
    ),
  ],
  ["a verdict behind a throw", on("  if (mail.size) { mail.refuse('x'); throw new Error('x'); }\n  mail.defer('x');")],
  ["either of two", on("  mail.size > 1 ? mail.refuse('x') : mail.defer('x');")],
  [
    "an origin that is covered",
    `export const grants = { http: ["https://*.example.org"] };\nexport const onArrival = async (mail, { http }) => { mail.subject = (await http.get(\`https://a.example.org/\${mail.id}\`)).url; };`,
  ],
  [
    "an origin nobody knows",
    on(`  await http.get(mail.subject);\n  await http.get(\`https://\${mail.subject}.example/\`);`),
  ],
  [
    "a grant that is used in a function",
    "const look = (context) => context.kv.get('x');\nexport const grants = { kv: true };\nexport const onArrival = async (mail, context) => { mail.subject = await look(context); };",
  ],
  [
    "a context that is handed on",
    "const all = {};\nexport const grants = { kv: true };\nexport const onArrival = async (mail, context) => { mail.subject = String(Object.keys({ ...all, context })); };",
  ],
  [
    "a secret of a name nobody knows",
    'export const grants = { secrets: ["a"] };\nexport const onArrival = async (mail, { secrets }) => { mail.subject = await secrets.get(mail.id); };',
  ],
  [
    "forward with submit",
    "export const grants = { submit: true };\nexport const onArrival = (mail) => mail.forward('a@example.org');",
  ],
  ["a cache that is made again", `let cache;\n${on(`  cache ??= new Map();\n  log.info(cache.size);`)}`],
  [
    "what is made when the module begins",
    `const list = [];\nlist.push(1);\nlet sum = 0;\nfor (const one of list) sum += one;\n${on("  log.info(sum);")}`,
  ],
  [
    "state of a run",
    on(
      "  let count = 0;\n  const seen = new Map();\n  for (const part of mail.attachments) { count++; seen.set(part.part, count); }",
    ),
  ],
  ["a console of its own", on("  const console = log;\n  console.info('x');")],
  ["a parameter that is not meant", "export const onArrival = (_mail, { log }) => log.info('x');"],
  ["a parameter that is taken apart", "export const onArrival = ({ subject }, { log }) => log.info(subject);"],
  [
    "a rule that says something",
    'export const rule = "RCPT TO=*@example.org; SUBJECT=*x*";\nexport const onArrival = (mail) => mail.settle();',
  ],
  [
    "a rule of two keys, one of which holds always",
    'export const rule = "RCPT TO=*; USER=-";\nexport const onArrival = (mail) => mail.settle();',
  ],
  [
    "a regular expression of one way",
    on("  if (/^\\s+|\\s+$|<[^>]*>|(\\d{1,3}\\.){3}/.test(mail.subject)) log.info('x');"),
  ],
  [
    "a class, a label, a generator",
    "class Box { static #x = 1; value = 2; get() { return Box.#x + this.value; } }\nfunction* all() { yield* [1]; }\nexport const onArrival = (mail) => { outer: for (const one of all()) for (;;) { if (one) break outer; mail.subject = new Box().get(); } };",
  ],
];

describe("reviewScript", () => {
  test.each(cases)("finds %s", async (_why, code, marked) => {
    expect(told(await review(marked))).toEqual(marksIn(code, marked));
  });

  test.each(fine)("leaves alone %s", async (_why, source) => {
    expect(await review(source)).toEqual([]);
  });

  test.each(globSync("scripts/*.ts").sort())("finds nothing in %s", async (path) => {
    const compiled = await compileScript({ root: resolve(dirname(path)), file: resolve(path) });
    const exports = exportsOf(Object.values(compiled.sources).join("\n"));
    expect(reviewScript({ compiled, exports })).toEqual([]);
  });

  test("tells places in files that are imported, in TypeScript as it was written", async () => {
    await folder.write({
      "lib/look.ts":
        "export enum Kind { A, B }\nexport async function look(kind: Kind): Promise<Kind> {\n  return kind;\n}\nexport const begin = (): void => {\n  look(Kind.B);\n};\n",
    });
    const source = `import { begin } from "./lib/look.ts";\nexport const onArrival = (mail: { size: number }): void => {\n  if (mail.size > 1) begin();\n};`;
    expect((await review(source, "imports.ts")).map(({ at }) => at)).toEqual(["scripts/lib/look.ts:6:3"]);
  });

  test("says what to do, in one line each", async () => {
    const [finding] = await review(on("  mail.setText('x');"), "words.ts");
    expect(finding).toEqual({
      code: "unawaited",
      message: "setText() gives a promise that is not awaited: the run may end before it is done.",
      advice: "Write await before it.",
      at: "scripts/words.ts:4:3",
    });
  });

  test.each([
    [99, 99],
    [100, 100],
    [101, 100],
  ])("of %i findings tells %i", async (count, expected) => {
    expect(await review(on("  console.log(mail.id);\n".repeat(count)))).toHaveLength(expected);
  });
});

test("docs/review.md has a section for each code, and no other", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/review.md"), "utf8");
  const sections = [...page.matchAll(/^### (.*)$/gm)].map((match) => match[1]);
  expect(sections.toSorted()).toEqual(findingCodes.toSorted());
});

describe("onarrival-ignore", () => {
  const line = "  mail.setText('x');";
  test.each<[why: string, body: string, expected: string[]]>([
    ["on the line", `${line} // onarrival-ignore: unawaited it is tried, no more`, []],
    ["on the line before", `  // onarrival-ignore: unawaited it is tried\n${line}`, []],
    ["on lines before, others between", `  // onarrival-ignore: unawaited it is tried\n  // as said\n\n${line}`, []],
    ["of another code", `  // onarrival-ignore: console it is tried\n${line}`, ["ignore 4:3", "unawaited 5:3"]],
    ["of a code that is none", `  // onarrival-ignore: awaited it is tried\n${line}`, ["ignore 4:3", "unawaited 5:3"]],
    ["without a reason", `  // onarrival-ignore: unawaited\n${line}`, ["ignore 4:3", "unawaited 5:3"]],
    ["on the line behind", `${line}\n  // onarrival-ignore: unawaited it is tried\n`, ["unawaited 4:3", "ignore 5:3"]],
    ["where there is nothing", "  // onarrival-ignore: unawaited it is tried", ["ignore 4:3"]],
  ])("%s", async (_why, body, expected) => {
    expect(told(await review(on(body)))).toEqual(expected);
  });
});

describe("the gate of the review", () => {
  const candidateOf = async (source: string) => {
    const compiled = await folder.compile(source);
    const script = compiled.name;
    return {
      script,
      file: join(folder.root, basename(script)),
      compiled,
      exports: exportsOf(source),
      live: null,
      wasLive: false,
    };
  };

  test("warns of what was found, but for what the registry tells itself", async () => {
    const gate = createReviewGate({ clock: systemClock });
    const source = `export const rule = "RCPT TO=*@*example.org";\nexport const onArrival = (mail) => { if (mail.size) console.log("x"); };`;
    const candidate = await candidateOf(source);
    expect(gate.policy).toBe("warn");
    expect(await gate.check(candidate)).toEqual([
      `${candidate.script}:2:53: console.log writes a line into the server's log for every message. Take it out, or write log.debug, which is off unless the log's level is debug. (console)`,
    ]);
    await gate.close();
    expect(await gate.check(candidate)).toEqual([]);
  });

  test("says so where the code cannot be read", async () => {
    const gate = createReviewGate({ clock: systemClock });
    const candidate = await candidateOf("export const onArrival = (mail) => mail.settle();");
    const broken = { ...candidate, compiled: { ...candidate.compiled, code: "(" } };
    expect(await gate.check(broken)).toEqual([
      expect.stringMatching(/^The script could not be reviewed: Unexpected token/),
    ]);
    await gate.close();
  });
});
