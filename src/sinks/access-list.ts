/** Lists of clients, HELO names, senders and recipients that are turned away, and of those that are not. Patterns as in rules, inline or from files. */
import type { Sink } from "../events/sink.ts";
import type { Session } from "../events/subject.ts";
import { defer, discard, drop, proceed, quarantine, refuse, settle, type Verdict } from "../events/verdict.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { ReversePath } from "../mail/path.ts";
import { choice } from "../platform/value.ts";
import { type AccessFacts, type ListKind, ListSource } from "./access-patterns.ts";
import { type PropertyTable, propertiesFault, property, type ValuesOf } from "./property.ts";
import { listOf, replyText } from "./property-kind.ts";
import { pathIn, type SinkPorts } from "./sink-ports.ts";

const itemList = listOf(
  "a list of patterns and of paths of files",
  (item) => (/^[^\x00-\x1f\x7f]+$/.test(item) ? item : undefined),
  (item) => item,
);

const list = (whom: string) => property(itemList, [], `${whom}.`);

export const accessListProperties = {
  deny_clients: list("Addresses and blocks that are turned away"),
  deny_helos: list("HELO names that are turned away, such as `*.dyn.example.net`"),
  deny_senders: list("Senders that are turned away, such as `*@junk.example`; `<>` is the null reverse-path"),
  deny_recipients: list("Recipients that are turned away"),
  allow_clients: list("Addresses and blocks that nothing here turns away"),
  allow_helos: list("HELO names that nothing here turns away; anybody can say any name"),
  allow_senders: list("Senders that nothing here turns away; anybody can write any sender"),
  allow_recipients: list("Recipients that nothing here turns away, such as `postmaster@*`"),
  on_allow: property(
    choice("way", ["proceed", "settle"]),
    "proceed",
    "`settle`: the other sinks of the event are not asked about who is allowed; only the server's own are.",
  ),
  on_deny: property(
    choice("way", ["refuse", "defer", "drop", "quarantine", "discard"]),
    "refuse",
    "What becomes of who is denied. `quarantine` and `discard` are for whole messages: the sink is bound to onArrival then, and one recipient on a list is enough, whoever the others are.",
  ),
  text: property(
    replyText,
    "Not accepted here",
    "What the client is told; with `quarantine` and `discard` the reason in the log.",
  ),
} satisfies PropertyTable;

/** @throws {Fault} `sink.properties` where a pattern, or a line of a file, cannot be read */
export function accessList(values: ValuesOf<typeof accessListProperties>, ports: SinkPorts): Sink {
  const { on_allow: onAllow, on_deny: onDeny, text: words } = values;
  const problems: string[] = [];
  const source = (name: `${"allow" | "deny"}_${ListKind}`): ListSource | null => {
    const items = values[name];
    if (items.length === 0) return null;
    const kind = name.slice(name.indexOf("_") + 1) as ListKind;
    const made = new ListSource(kind, items, (path) => pathIn(ports, path), ports);
    problems.push(...made.problems.map((problem) => `${name}: ${problem}`));
    return made;
  };
  const sourcesOf = (way: "allow" | "deny") =>
    (["clients", "helos", "senders", "recipients"] as const)
      .map((kind) => source(`${way}_${kind}`))
      .filter((made) => made !== null);
  const allowed = sourcesOf("allow");
  const denied = sourcesOf("deny");
  if (problems.length > 0) throw propertiesFault("access-list", problems);
  if (allowed.length + denied.length === 0)
    throw propertiesFault("access-list", ["there is no list: expected at least one, such as deny_senders"]);

  const allow = onAllow === "settle" ? settle : proceed;
  const deny = denial(onDeny, words);
  const judge = (facts: AccessFacts, log: SinkPorts["log"], ids: Readonly<Record<string, unknown>>): Verdict => {
    if (allowed.some((one) => one.matches(facts))) return allow;
    const by = denied.find((one) => one.matches(facts));
    if (!by) return proceed;
    log.info("access-list.denied", { ...ids, ip: facts.ip, list: `deny_${by.kind}` });
    return deny;
  };
  if (onDeny === "quarantine" || onDeny === "discard")
    return {
      name: "access-list",
      onArrival({ message }, { log }) {
        const { ip, helo } = message.origin;
        const { reversePath, recipients } = message.envelope;
        const facts = { ip, helo, reversePath, recipients: recipients.map(({ mailbox }) => mailbox) };
        return judge(facts, log, { message: message.id });
      },
    };
  return {
    name: "access-list",
    onConnect: ({ session }, { log }) => judge(factsOf(session), log, { session: session.id }),
    onHelo: ({ session, name }, { log }) => judge({ ...factsOf(session), helo: name }, log, { session: session.id }),
    onMailFrom: ({ session, reversePath }, { log }) =>
      judge({ ...factsOf(session), reversePath }, log, { session: session.id }),
    onRcptTo: ({ session, transaction, forwardPath }, { log }) =>
      judge(factsOf(session, transaction.reversePath, [forwardPath]), log, {
        session: session.id,
        message: transaction.id,
      }),
  };
}

/** What is known at one of the protocol's events; what is not is undefined, and no pattern holds for it. */
function factsOf({ ip, helo }: Session, reversePath?: ReversePath, recipients: readonly Mailbox[] = []): AccessFacts {
  return { ip, helo, reversePath, recipients };
}

function denial(onDeny: ValuesOf<typeof accessListProperties>["on_deny"], words: string): Verdict {
  switch (onDeny) {
    case "refuse":
      return refuse(words);
    case "defer":
      return defer(words);
    case "drop":
      return drop(words, { code: 521, status: "5.7.1" });
    case "quarantine":
      return quarantine(words);
    case "discard":
      return discard(words);
  }
}
