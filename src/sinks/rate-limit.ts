/**
 * Limits messages, recipients or connections in a time, for each key: a client, a user, a sender's domain, or several of them together. Counts stay in
 * memory: a restart forgets them.
 */
import { compileNetworks } from "../events/network.ts";
import type { Sink, SinkContext } from "../events/sink.ts";
import type { Session } from "../events/subject.ts";
import { defer, proceed, refuse, type Verdict } from "../events/verdict.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { formatReversePath, type ReversePath } from "../mail/path.ts";
import { choice, choices, count, rate } from "../platform/value.ts";
import { networkOf } from "./ip-octets.ts";
import { optionalProperty, propertiesFault, property, requiredProperty, type ValuesOf } from "./property.ts";
import { networkList, replyText } from "./property-kind.ts";
import type { SinkPorts } from "./sink-ports.ts";
import { TokenBuckets } from "./token-buckets.ts";

const timesKind = count({ min: 1, max: 1_000_000 });

const keyParts = [
  "client",
  "client-network",
  "user",
  "helo",
  "listener",
  "sender",
  "sender-domain",
  "recipient",
  "recipient-domain",
] as const;
type KeyPart = (typeof keyParts)[number];

export const rateLimitProperties = {
  count: property(choice("thing", ["messages", "recipients", "connections"]), "messages", "What is counted."),
  rate: requiredProperty(
    rate,
    'How many in how long: `"10/1m"`. What was not used is there again bit by bit, not all at the end of the time.',
  ),
  burst: optionalProperty(timesKind, "How many may come at once.", "as many as the rate says"),
  key: property(
    choices("key part", [...keyParts]),
    ["client"],
    `What has a count of its own: ${keyParts.map((part) => `\`${part}\``).join(", ")}; several of them together are one key. \`client\` is an IPv4 address or a /64, \`client-network\` a /24 or a /48. A key with \`user\` limits only who logged in.`,
  ),
  keys_max: property(
    count({ min: 1, max: 10_000_000 }),
    100_000,
    "Keys that are remembered; the one not seen for longest is forgotten.",
  ),
  except_networks: property(networkList, [], "Clients that are not limited."),
  action: property(choice("way", ["defer", "refuse"]), "defer", "What happens above the limit."),
  text: property(replyText, "Too much at a time, please try again later", "What the client is told."),
};

/** What a key is made of. */
interface Facts {
  readonly session: Session;
  readonly reversePath: ReversePath;
  readonly forwardPath: Mailbox | null;
}

/** @throws {Fault} `sink.properties` for a key that is not known where things are counted */
export function rateLimit(values: ValuesOf<typeof rateLimitProperties>, { clock }: Pick<SinkPorts, "clock">): Sink {
  const { count: counted, rate, key, action, text: words } = values;
  const unknown = key.filter((part) => isLaterThan(part, counted));
  if (unknown.length > 0)
    throw propertiesFault("rate-limit", [`key: ${unknown.join(", ")} cannot be known where ${counted} are counted`]);
  const isExcepted = compileNetworks(values.except_networks);
  const buckets = new TokenBuckets({
    intervalMs: rate.withinMs / rate.times,
    burst: values.burst ?? rate.times,
    keysMax: values.keys_max,
  });
  // At the greeting 554 and 421 are what there is; RFC 5321 §3.1, §3.8.
  const [refusal, deferral] = counted === "connections" ? [554, 421] : [550, 450];
  const over =
    action === "refuse"
      ? refuse(words, { code: refusal, status: "5.7.28" })
      : defer(words, { code: deferral, status: "4.7.28" });

  const judge = (facts: Facts, { log, rehearsal }: SinkContext): Verdict => {
    const { session } = facts;
    if (isExcepted(session.ip)) return proceed;
    const named = keyOf(key, facts);
    if (named === null || buckets.take(named, clock.monotonicMs(), rehearsal)) return proceed;
    log.info("rate-limit.exceeded", { session: session.id, ip: session.ip, counted, key: named });
    return over;
  };
  switch (counted) {
    case "connections":
      return {
        name: "rate-limit",
        onConnect: ({ session }, context) => judge({ session, reversePath: null, forwardPath: null }, context),
      };
    case "messages":
      return {
        name: "rate-limit",
        onMailFrom: ({ session, reversePath }, context) => judge({ session, reversePath, forwardPath: null }, context),
      };
    case "recipients":
      return {
        name: "rate-limit",
        onRcptTo: ({ session, transaction, forwardPath }, context) =>
          judge({ session, reversePath: transaction.reversePath, forwardPath }, context),
      };
  }
}

function isLaterThan(part: KeyPart, counted: "messages" | "recipients" | "connections"): boolean {
  if (part.startsWith("recipient")) return counted !== "recipients";
  return counted === "connections" && !(part.startsWith("client") || part === "listener");
}

/** null where a part of it says that there is nothing to limit. */
function keyOf(parts: readonly KeyPart[], facts: Facts): string | null {
  if (parts.length === 1) return partOf(parts[0]!, facts);
  let key = "";
  for (const part of parts) {
    const value = partOf(part, facts);
    if (value === null) return null;
    // No part holds a blank that could make two keys one: a HELO name's are taken out.
    key += key === "" ? value : ` ${value}`;
  }
  return key;
}

function partOf(part: KeyPart, { session, reversePath, forwardPath }: Facts): string | null {
  switch (part) {
    case "client":
      // Whoever has an IPv6 address has 2^64 of them.
      return session.ip.includes(":") ? networkOf(session.ip, { v4: 32, v6: 64 }) : session.ip;
    case "client-network":
      return networkOf(session.ip, { v4: 24, v6: 48 });
    case "user":
      return session.user?.replaceAll(" ", "_") ?? null;
    case "helo":
      return session.helo.toLowerCase().replaceAll(" ", "_");
    case "listener":
      return session.listener;
    case "sender":
      return formatReversePath(reversePath).toLowerCase().replaceAll(" ", "_");
    case "sender-domain":
      return reversePath?.domain ?? "<>";
    case "recipient":
      return `${forwardPath!.localPart}@${forwardPath!.domain}`.toLowerCase().replaceAll(" ", "_");
    case "recipient-domain":
      return forwardPath!.domain;
  }
}
