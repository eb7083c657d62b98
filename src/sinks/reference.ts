/** The reference page of the sinks that come with the server (docs/sinks.md), made from the kit. Run with `--write` it writes the page; a test holds it against the kit. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type KitSink, kit } from "./kit.ts";
import type { Property } from "./property.ts";

/** More than a sentence and a table: what an admin has to know of a sink. */
const remarks: Readonly<Record<string, { readonly example: string; readonly remark: string }>> = {
  "access-list": {
    example:
      'properties = { deny_senders = ["*@junk.example", "./lists/senders.txt"], allow_recipients = ["postmaster@*"] }',
    remark:
      "Patterns are those of [rules](rules.md). An item that begins with `./`, `../` or `/` names a file with a pattern on each line; a `#` at the beginning of a line or behind a blank begins a comment; it has at most 16 MiB. A file that changes is read again within two seconds; where it has a bad line then, the log says which (`access-list.file-broken`) and what it held before stays in force. Who is on both lists is allowed. Besides onRcptTo it can be bound to onConnect, onHelo and onMailFrom: what is not known there yet matches nothing.",
  },
  "archive-copy": {
    example: 'properties = { gzip = true, keep_days = 90, size_max = "50GiB" }',
    remark:
      "`FOLDER/2026/01/05/120000123-ID.eml`, times in UTC. The copy is what arrived, as the sinks before this one left it: with a low `priority` it is the original. A copy that cannot be written, or is larger than `size_max`, is a fault, and `on_fault` decides. A message that a later sink refuses has its copy all the same: a `priority` above theirs keeps only what they let pass. Only files named so are ever removed.",
  },
  dnsbl: {
    example:
      'rule = "RCPT TO = *@example.test"\nproperties = { zones = ["zen.example", { zone = "good.example", codes = ["127.0.*.1-3"], weight = -2 }], threshold = 1 }',
    remark:
      "An answer counts where it is in 127.0.0.0/8 and matches the list's `codes`; one in 127.255.255.0/24 says that the list refuses to answer us. A list that fails or is late counts nothing, and `dnsbl.list-failed` in the log says so once in ten minutes. The client is asked about once in a session; what was found is in `session.notes` and, for `mark`, in the message's notes as `dnsbl`. It may be bound to onConnect or onMailFrom too; at onRcptTo `postmaster` can be excepted, by an access-list with `on_allow = \"settle\"` before it.",
  },
  greylist: {
    example: 'properties = { wait = "2m", except_networks = ["192.0.2.0/24"] }',
    remark:
      "Kept in `sinks/greylist.db` in the data folder; all bindings of it share the file. Numbers in the sender's local part count as one number, and what stands behind `+` or `=` counts not at all, so that a mailing list is one sender. Without a `priority` it is at 25000, behind the server's own relay control: addresses that are not there are refused, and not told to come again.",
  },
  "header-limit": {
    example: 'properties = { required = ["From", "Date"] }',
    remark:
      "Asked as soon as the header is complete; the rest of a refused message is thrown away as it comes. `Bcc` and `Cc` count as every other field.",
  },
  "loop-guard": {
    example: "properties = { hops_max = 30 }",
    remark: "The server has one of its own, with the default; a binding can be stricter.",
  },
  "rate-limit": {
    example: 'properties = { count = "recipients", rate = "100/1h", key = ["user"] }',
    remark:
      'Bound to onConnect, onMailFrom or onRcptTo, as `count` says. Counts are in memory; a restart or other properties begin anew, another rule or priority does not. Above the limit nothing is counted: who waits as long as the rate says gets through. `"10/m"` is `"10/1m"`.',
  },
  "relay-control": {
    example: 'rule = "LISTENER = backup"\nproperties = { relay = ["example.org"] }',
    remark: "The server's own stays in force: this one can only be stricter, on one listener for example.",
  },
  "size-limit": {
    example: 'rule = "RCPT TO = *@small.example"\nproperties = { size_max = "5MiB" }',
    remark:
      "552 5.3.4 at MAIL or RCPT where the client announces more (SIZE=), and at the end of data where more came; our own trace field does not count. A rule about recipients holds for a message with one such recipient.",
  },
  tarpit: {
    example: 'properties = { delay = "10s", free = 1, networks = ["203.0.113.0/24"] }',
    remark: "4yz and 5yz replies count, 421 does not. Who logged in never waits. Needs the native engine.",
  },
};

/** The page, Markdown. */
export function kitReference(): string {
  const lines = [
    "# Sinks that come with OnArrival",
    "",
    "<!-- Made from src/sinks/kit.ts by `node src/sinks/reference.ts --write`: edit there. -->",
    "",
    "Each is bound by name in `onarrival.toml`, as often as you like, or to a running server with `onarrival bindings add`:",
    "",
    "```toml",
    "[[sinks]]",
    'use = "greylist"',
    'rule = "LISTENER = mx"          # optional: docs/rules.md',
    "priority = 26000                # optional; 0 is asked first",
    'properties = { wait = "2m" }    # optional where no property must be written',
    "```",
    "",
    "- **Events:** without `event` or `events` a sink is bound to those it is made for.",
    "- **Properties:** many of them are easier to read in a table of their own, `[sinks.properties]`, behind the other keys. Where one is wrong, or is none, the",
    "  binding is broken: `onarrival bindings list` and `sink.broken` in the log say everything that is wrong at once, and mail goes on without the sink.",
    "- **Paths** are relative to the configuration's folder.",
    "- **Order:** with a `priority` above 24575 a sink at onRcptTo is asked after the server's own relay control, and so only about recipients that are taken:",
    "  good for those that look something up or remember it.",
    "- **Memory:** what a sink remembers it keeps while its `properties` stay the same. A rehearsal (`onarrival test`, `session`, `explain`) decides as it would",
    "  and is not remembered.",
    "",
    "To write one yourself: [native sinks](native-sinks.md).",
    "",
    "| sink | |",
    "|---|---|",
    ...Object.entries(kit).map(([name, { sentence }]) => `| [${name}](#${name}) | ${sentence} |`),
    "",
  ];
  for (const [name, sink] of Object.entries(kit)) lines.push(...describeSink(name, sink));
  return `${lines.join("\n").trimEnd()}\n`;
}

/** What stands in the example of a sink, as onarrival.toml has it. */
export function kitExample(name: string): string {
  return `[[sinks]]\nuse = ${JSON.stringify(name)}\n${remarks[name]!.example}`;
}

function describeSink(name: string, { sentence, events, properties }: KitSink): string[] {
  return [
    `## ${name}`,
    "",
    `${sentence} Made for ${events.join(", ")}.`,
    "",
    "```toml",
    kitExample(name),
    "```",
    "",
    "| property | value | default | |",
    "|---|---|---|---|",
    ...Object.entries(properties).map(
      ([property, { kind, sentence: says, ...rest }]) =>
        `| ${[`\`${property}\``, kind.expects, defaultWords({ kind, ...rest }), says].map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`,
    ),
    "",
    remarks[name]!.remark,
    "",
  ];
}

function defaultWords({ kind, fallback, fallbackWords }: Omit<Property<unknown>, "sentence">): string {
  if (fallback === null) return "must be written";
  return fallbackWords ?? `\`${kind.format(fallback.value)}\``;
}

if (import.meta.main && process.argv.includes("--write"))
  writeFileSync(join(import.meta.dirname, "../../docs/sinks.md"), kitReference());
