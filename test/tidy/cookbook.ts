/**
 * Makes docs/cookbook.md from the example scripts and the cases beside them. `node test/tidy/cookbook.ts --write` writes it; cookbook.test.ts fails where the page and
 * the examples differ. The job is the comment a script opens with; what its tests show is read from what they expect.
 */
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { TestResult } from "../../src/main-test-result.ts";
import { readTestFolder } from "../../src/scripting/test-folder.ts";
import { recipes } from "./cookbook-recipes.ts";
import { root } from "./source-files.ts";

export const cookbookPage = join(root, "docs/cookbook.md");

/** The whole page. @throws {Error} where an example has no recipe, or a recipe no example */
export async function renderCookbook(): Promise<string> {
  const found = globSync("scripts/{*,examples/*}.ts", { cwd: root }).map((path) => path.replaceAll("\\", "/"));
  const written = recipes.flatMap(({ dishes }) => dishes.map(({ script }) => pathOf(script)));
  const strays = [...new Set([...found, ...written])].filter(
    (path) => !found.includes(path) || !written.includes(path),
  );
  if (strays.length > 0) throw new Error(`no example, or no recipe: ${strays.join(", ")}`);
  const parts = [introduction];
  for (const { title, dishes } of recipes) {
    parts.push(`## ${title}`);
    for (const dish of dishes) parts.push(await renderDish(dish));
  }
  return `${parts.join("\n\n")}\n`;
}

const introduction = `# Cookbook

<!-- Made from scripts/ and its tests by \`node test/tidy/cookbook.ts --write\`: edit there, and in test/tidy/cookbook-recipes.ts. -->

Jobs that mail servers are given again and again, each as a script. All of them are in \`scripts/\`, where the default site runs them, or in \`scripts/examples/\`, where nobody does, with their
tests beside them. To have one in your site:

\`\`\`
onarrival init --example greylist        # scripts/greylist.ts and scripts/greylist.test/; overwrites nothing
\`\`\`

Put your own names in, in the script and in its tests, and see [scripts](scripts.md) for all that a script can do. Those that export \`grants\` ask for more than their message: what they name has to stand in
\`[scripts.grants]\`, and \`onarrival scripts approve\` has to say yes ([grants](grants.md)). Below each script stands what its tests show: the case, and what becomes of it.

${recipes.map(({ title, dishes }) => `- **${title}:** ${dishes.map((dish) => `[${dish.script}](#${anchorOf(dish.title)})`).join(" · ")}`).join("\n")}`;

async function renderDish({ script, title, change }: (typeof recipes)[number]["dishes"][number]): Promise<string> {
  const path = pathOf(script);
  const [, job = "", code = ""] = /^\/\*\* (.*) \*\/\n([\s\S]*)$/.exec(readFileSync(join(root, path), "utf8")) ?? [];
  const folder = await readTestFolder(join(root, path));
  const cases: string[] = [];
  for (const { name, read } of folder?.cases ?? [])
    cases.push(`- *${name.replaceAll("-", " ")}*: ${describeCase((await read()).expected as Expected)}`);
  return [
    `### ${title}`,
    `${job} [${basename(path)}](../${path})`,
    `\`\`\`ts\n${code.trimEnd()}\n\`\`\``,
    cases.join("\n"),
    `**To change:** ${change}`,
  ].join("\n\n");
}

function pathOf(script: string): string {
  const live = `scripts/${script}.ts`;
  return existsSync(join(root, live)) ? live : `scripts/examples/${script}.ts`;
}

/** As GitHub makes them. */
function anchorOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N} -]/gu, "")
    .replaceAll(" ", "-");
}

/** What is written down of a result; cases leave out what they do not care for. */
type Expected = Partial<TestResult>;

/** What became of a message, in one line. */
export function describeCase(expected: Expected): string {
  if (expected.matched === false) return "the rule does not hold";
  const told = [
    ...askedOf(expected),
    ...(expected.fault ? [`a fault, \`${expected.fault.code}\``] : []),
    ...changesOf(expected),
  ];
  const { verdict } = expected;
  if (verdict?.kind === "discard" || verdict?.kind === "quarantine") told.push(`${verdict.kind}: ${verdict.text}`);
  else if (verdict && verdict.kind !== "proceed") told.push(`\`${verdict.code} ${verdict.status} ${verdict.text}\``);
  const did = told.length > askedOf(expected).length + (expected.fault ? 1 : 0);
  return [...told, ...(did ? [] : ["goes on as it is"])].join(" · ");
}

/** What was asked of others; its own store is the script's affair. */
function askedOf({ asked = [] }: Expected): string[] {
  return asked.filter(({ ask }) => !ask.startsWith("kv.")).map(({ ask }) => `asks \`${ask}\``);
}

function changesOf({ changes, submissions = [] }: Expected): string[] {
  const { envelope, fields = [], parts = [], routes = [], folders = [] } = changes ?? {};
  const { from, added = [], removed = [] } = envelope ?? {};
  return [
    ...(from === undefined ? [] : [`from \`${from ?? "<>"}\` on the envelope`]),
    ...(removed.length > 0 ? [`not to ${codes(removed)}`] : []),
    ...(added.length > 0 ? [`to ${codes(added)}`] : []),
    ...fields.map(({ op, name, after }) => (op === "remove" ? `without ${name}` : `\`${name}: ${after}\``)),
    ...parts.map(({ op, part, ...one }) => {
      const { contentType, fileName } = one as { readonly contentType?: string; readonly fileName?: string };
      return `${op} part ${part} (${fileName ?? contentType})`;
    }),
    ...routes.map(({ recipients, to }) => `by \`${to}\`${recipients ? ` for ${codes(recipients)}` : ""}`),
    ...folders.map(({ to }) => `into the folder ${to}`),
    ...submissions.map(({ to, subject }) => `a message to ${codes(to)}: ${subject}`),
  ];
}

function codes(texts: readonly string[]): string {
  return texts.map((text) => `\`${text}\``).join(", ");
}

if (import.meta.main) {
  const page = await renderCookbook();
  if (process.argv[2] === "--write") writeFileSync(cookbookPage, page);
  else process.stdout.write(page);
}
