/**
 * Makes docs/interop.md from the names of the tests in this folder. `node test/interop/page.ts` prints it, with `--write` it writes it; page.test.ts
 * fails where the page says something else than the tests. Loads the suites with a test runner that runs nothing and only listens to names.
 */
import { writeFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { join, resolve } from "node:path";

export const interopPage = resolve(import.meta.dirname, "../../docs/interop.md");

/** In the order of the page: suite, and what its peers are. */
const suites: readonly { readonly file: string; readonly title: string; readonly text: string }[] = [
  {
    file: "postfix.slow.ts",
    title: "Postfix",
    text: `Both ways, a private instance with its own queue. What it does its own way:

- It breaks lines longer than 998 octets when it sends, unless \`smtp_line_length_limit = 0\`.
- It takes BDAT and never sends it. It sends the original recipient of an international address as \`ORCPT=rfc822;\` with octets beyond ASCII.
- It offers and takes no PRDR. Its LMTP client sends the recipients of a message in an order of its own.`,
  },
  {
    file: "exim.slow.ts",
    title: "Exim",
    text: `Both ways, a private instance. What it does its own way:

- It sends BDAT wherever it is offered, and QUIT together with the last chunk, then closes its side of the connection: replies are still owed.
- It never says \`BODY=8BITMIME\`, whatever the message holds.
- It sends no line longer than 998 octets unless \`message_linelength_limit\` of its transport is raised; the message comes back to its sender.
- Of what comes over one connection it delivers ten messages at once and the others at its next queue run, unless \`smtp_accept_queue_per_connection = 0\`.
- Its reports name the envelope id as it came over the wire, in xtext.`,
  },
  {
    file: "dovecot.slow.ts",
    title: "Dovecot",
    text: `Takes from OnArrival over LMTP, by TCP and by a socket, a private instance with users and quotas of its own; of OnArrival it is the LMTP client alone that it
talks to here. What it does its own way:

- It answers each recipient after the end of data, and offers no SMTPUTF8: what cannot be said without it goes back to its sender with 5.6.7.
- A mailbox that is full refuses for good, with 552 5.2.2, unless \`quota_full_tempfail\` is set; then 452 4.2.2, and OnArrival tries again.
- It keeps mail with line ends of its own system.`,
  },
  {
    file: "swaks.slow.ts",
    title: "swaks",
    text: "Sends to OnArrival.",
  },
  {
    file: "submission.slow.ts",
    title: "Mail programs and libraries",
    text: "Send to OnArrival. TLS is always with the certificate verified.",
  },
  {
    file: "clients.slow.ts",
    title: "The same through a script",
    text: "Send to a site whose script writes the client's name into the header of each message.",
  },
  {
    file: "plain-servers.slow.ts",
    title: "Servers that can little, and servers in trouble",
    text: "smtp-sink and smtp-source are test programs that come with Postfix.",
  },
];

const introduction = `# Who OnArrival exchanges mail with

<!-- Made from the names of the tests by \`node test/interop/page.ts --write\`: edit there. -->

Each line is a test in [test/interop](../test/interop), run against the real program as Debian ships it, as part of \`npm run test:slow\`. OnArrival is the whole server,
started as its users start it. "Every message as it was" means: plain text, dots at line starts, lines of 998 and 5,001 octets, UTF-8, octets that are no UTF-8, an
empty body, blank lines at the end, blanks at line ends and five MiB go through, under a header with odd folding, and every octet that
arrives is compared with those sent; only the trace fields that each server writes on top are set aside. Where a line tells of commands, they were read
off the wire between the two.`;

interface Named {
  /** Names of the groups around it, outermost first. */
  readonly groups: readonly string[];
  readonly name: string;
}

async function renderInteropPage(): Promise<string> {
  const sections: string[] = [];
  for (const { file, title, text } of suites) {
    const rows = new Map<string, string[]>();
    for (const { groups, name } of await namesIn(file)) {
      const who = groups.join(" ");
      rows.set(who, [...(rows.get(who) ?? []), name]);
    }
    const table = [...rows].map(([who, names]) => `| ${who} | ${names.map(escapeCell).join("<br>")} |`);
    sections.push(`## ${title}\n\n${text}\n\n| who | what |\n|---|---|\n${table.join("\n")}`);
  }
  return `${[introduction, ...sections].join("\n\n")}\n`;
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** Every test of a suite, in its order; a table's rows one by one. */
async function namesIn(file: string): Promise<readonly Named[]> {
  listener.named = [];
  await import(join(import.meta.dirname, file));
  return listener.named;
}

const listener: { named: Named[]; groups: string[] } = { named: [], groups: [] };

/** What the suites get in the place of vitest. */
function listeningRunner(): Record<string, unknown> {
  const describe = (name: string, body: () => void) => {
    listener.groups.push(name);
    body();
    listener.groups.pop();
  };
  const test = (name: string) => {
    listener.named.push({ groups: [...listener.groups], name });
  };
  const each = (rows: readonly Readonly<Record<string, unknown>>[]) => (template: string) => {
    for (const row of rows) test(template.replace(/\$(\w+)/g, (_all, key: string) => String(row[key])));
  };
  const describeEach = (rows: readonly string[]) => (template: string, body: (row: string) => void) => {
    for (const row of rows) describe(template.replace("%s", row), () => body(row));
  };
  const nothing = () => {};
  return {
    describe: Object.assign(describe, { skip: describe, each: describeEach }),
    test: Object.assign(test, { each }),
    ...{ beforeAll: nothing, afterAll: nothing, beforeEach: nothing, afterEach: nothing, expect: nothing },
  };
}

if (process.argv[1] === import.meta.filename) {
  const runner = listeningRunner();
  Object.assign(globalThis, { interopRunner: runner });
  const source = Object.keys(runner).map((name) => `export const ${name} = globalThis.interopRunner.${name};`);
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "vitest"
        ? { url: `data:text/javascript,${encodeURIComponent(source.join(""))}`, shortCircuit: true }
        : next(specifier, context),
  });
  const page = await renderInteropPage();
  if (process.argv.includes("--write")) writeFileSync(interopPage, page);
  else process.stdout.write(page);
}
