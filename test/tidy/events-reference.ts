/**
 * Makes docs/events.md from the event table. `node test/tidy/events-reference.ts --write` writes it; events-reference.test.ts fails where the page
 * and the table differ. What a subject is made of is read from the types in src/events/event.ts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { EventName } from "../../src/events/event.ts";
import { type EventFacts, eventNames, eventTable } from "../../src/events/event-table.ts";
import { trackCodes } from "../../src/events/subject-delivery.ts";

const root = resolve(import.meta.dirname, "../..");
export const eventsPage = join(root, "docs/events.md");

const families: readonly { readonly family: EventFacts["family"]; readonly title: string; readonly text: string }[] = [
  { family: "inbound", title: "Inbound protocol events: a client talks to us", text: "In the order of a session." },
  {
    family: "outbound",
    title: "Outbound protocol events: we talk to a server",
    text: "In the order of a session with a next hop.",
  },
  { family: "transport", title: "Transport events: we hold a message", text: "In the order of a message's life." },
];

/** The whole page. */
export function renderEventsPage(): string {
  return `${[introduction, ...families.map(renderFamily), verdicts, renderTrack()].join("\n\n")}\n`;
}

const introduction = `# Events

<!-- Made from src/events/event.ts and event-table.ts by \`node test/tidy/events-reference.ts --write\`: edit there. -->

Everything that happens to a session or a message is an event, and sinks bound to events decide. Two kinds:

- **ask**: somebody waits. The sinks are asked one after the other until one gives a verdict other than \`proceed\`; that verdict is carried out.
- **tell**: nobody waits, and nothing can be changed. What a sink throws is logged under its name. Scripts are told in their turn ([scripts](scripts.md#events)).

Native sinks may be bound to every event; scripts to those with **script**. *Not yet* means that the event is in the table, and this version of the server
does not fire it: a binding to it is legal and is never asked. Which bindings are asked about what says a [rule](rules.md). The subject is what a
sink is given; its parts, and what its functions do, are described in \`src/events/subject.ts\` and \`src/events/subject-outbound.ts\`. The native engine fires all inbound events; what
the library engine cannot see is in [listeners](listeners.md).

No sink can say yes in the server's place where a message hangs on it: \`consume\` answers stateful commands 4yz or 5yz alone, a reply may become stricter and never looser, and what has handed over custody keeps
its class. The same holds outward: a peer's no to MAIL, RCPT, DATA or the message is never taken for a yes.`;

const verdicts = `## Verdicts

| verdict | means | reply |
|---|---|---|
| \`proceed\` | no objection; the next sink is asked | |
| \`settle\` | no objection, and of the sinks behind this one only the server's own are asked | |
| \`refuse\` | for good: the sender is told not to try again | \`550 5.7.1\`, or any 5yz |
| \`defer\` | not now: the sender is told to try again | \`451 4.7.1\`, or any 4yz |
| \`discard\` | accepted and dropped; always logged | \`250 2.0.0\` |
| \`quarantine\` | accepted and kept in badmail | \`250 2.0.0\` |
| \`drop\` | reply, and close the connection | \`421 4.7.0\`, or any 4yz or 5yz |

\`proceed\` and \`settle\` are taken by every ask event, the others where the tables say so. A verdict an event does not take is a fault of the sink.`;

function renderFamily({ family, title, text }: (typeof families)[number]): string {
  const names = eventNames.filter((name) => eventTable[name].family === family);
  const lines = names.map((name) => {
    const { mode, fired, scripts, when, ancestor } = eventTable[name];
    const powers = eventTable[name].powers.map((power) => `\`${power}\``).join(" ");
    const takes = eventTable[name].verdicts.map((verdict) => `\`${verdict}\``).join(" ");
    const marks = [scripts ? "**script**" : "", fired ? "" : "*not yet*"].filter((mark) => mark !== "").join(" ");
    return (
      `| \`${name}\` ${marks}`.trimEnd() +
      ` | ${mode} | ${when} | \`${subjectOf(name)}\` | ${takes} | ${powers} | ${ancestor ?? ""} |`
    );
  });
  return [
    `## ${title}`,
    text,
    [
      "| event | kind | fires | subject | verdicts | may also | continues |",
      "|---|---|---|---|---|---|---|",
      ...lines,
    ].join("\n"),
  ].join("\n\n");
}

function renderTrack(): string {
  const lines = Object.entries(trackCodes).map(([step, code]) => `| ${code} | \`${step}\` |`);
  return [
    "## Codes of `onTrack`",
    "They name a step for good: a code is never given to another step.",
    ["| code | step |", "|---|---|", ...lines].join("\n"),
  ].join("\n\n");
}

/** The type of an event's subject, as event.ts writes it. */
function subjectOf(name: EventName): string {
  const written = new RegExp(`^  ${name}: (?:Ask|Tell)<(.*)>;$`, "m").exec(source)?.[1];
  if (written === undefined) throw new Error(`cannot find the subject of ${name} in src/events/event.ts`);
  return written.replaceAll("readonly ", "").replaceAll("|", "\\|");
}

const source = readFileSync(join(root, "src/events/event.ts"), "utf8");

if (import.meta.main) {
  if (process.argv[2] === "--write") writeFileSync(eventsPage, renderEventsPage());
  else process.stdout.write(renderEventsPage());
}
