/**
 * Asks DNS lists about the client's address. RFC 5782. Each list that has it adds its weight; lists of the good take away. From the threshold on the
 * client is refused or deferred, or its messages are marked. A list that gives no answer in time counts nothing: it fails open, and the log says so.
 */
import { compileNetworks } from "../events/network.ts";
import type { Sink, SinkContext } from "../events/sink.ts";
import type { Session } from "../events/subject.ts";
import { defer, proceed, refuse, type Verdict, verdictTextOctetsMax } from "../events/verdict.ts";
import { choice, count, duration, flag, text } from "../platform/value.ts";
import { countingCodes, type DnsList, dnsLists, isRefusal } from "./dnsbl-list.ts";
import { ipOctets, reversedLabels } from "./ip-octets.ts";
import { type PropertyTable, property, requiredProperty, type ValuesOf } from "./property.ts";
import { networkList, replyText } from "./property-kind.ts";
import type { SinkPorts } from "./sink-ports.ts";

export const dnsblProperties = {
  zones: requiredProperty(
    dnsLists,
    "Lists to ask, by zone. `weight` is 1 where it is not written, and below 0 for a list of the good; `codes` are the answers that count, all but errors where they are not written.",
  ),
  threshold: property(count({ min: 1, max: 1_000 }), 1, "Score from which on a client is listed."),
  action: property(
    choice("way", ["refuse", "defer", "mark"]),
    "refuse",
    "What becomes of a listed client. `mark` takes its messages and adds a field to each.",
  ),
  tell_zone: property(
    flag,
    true,
    "Names the list in the reply, as its people ask for, so that a wronged sender knows whom to turn to.",
  ),
  text: property(replyText, "Your address is listed", "What the client is told, in front of the name of the list."),
  mark_field: property(
    text("the name of a field", /^[A-Za-z][A-Za-z0-9-]{0,75}$/),
    "X-DNSBL",
    "Field that `mark` adds; the same field of the sender's own making is taken away.",
  ),
  deadline: property(duration({ minMs: 10, maxMs: 30_000 }), 3_000, "Time for all look-ups of a client."),
  except_networks: property(
    networkList,
    [],
    "Clients that are not asked about, besides those of the machine itself and of private networks, and users who logged in.",
  ),
} satisfies PropertyTable;

/** What the lists say about a client; in `session.notes` and `message.notes` as `dnsbl`. */
export interface DnsblResult {
  readonly ip: string;
  readonly score: number;
  readonly listed: boolean;
  readonly hits: readonly { readonly zone: string; readonly weight: number; readonly codes: readonly string[] }[];
}

/** Nobody lists them, and nobody else is to learn about them. RFC 6890. */
const isPrivate = compileNetworks([
  ...["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"],
  ...["::1", "fc00::/7", "fe80::/10"],
]);

/** What was asked about a session's client; `result` is there when the answers are. */
interface Asked {
  readonly ip: string;
  readonly answers: Promise<DnsblResult>;
  result: DnsblResult | null;
}

/** Answers of one list that are kept: they have to fit a line of a header. */
const codesMax = 16;

/** A list that fails is told of once in this time. */
const toldAgainMs = 600_000;

type Ports = Pick<SinkPorts, "clock" | "resolver">;

export function dnsbl(values: ValuesOf<typeof dnsblProperties>, { clock, resolver }: Ports): Sink {
  const { zones, threshold, action, tell_zone: tellZone, text: words, mark_field: markField, deadline } = values;
  const isExcepted = compileNetworks(values.except_networks);
  const asked = new WeakMap<Session, Asked>();
  const toldAt = new Map<string, number>();

  async function lookUp(session: Session, context: SinkContext): Promise<DnsblResult> {
    const { ip } = session;
    const octets = ipOctets(ip);
    const name = octets && reversedLabels(octets);
    const hits = await Promise.all(name === null ? [] : zones.map((list) => askList(list, name, context)));
    const found = hits.filter((hit) => hit !== null);
    const score = found.reduce((sum, { weight }) => sum + weight, 0);
    const result = { ip, score, listed: score >= threshold, hits: found };
    session.notes.set("dnsbl", result);
    if (result.listed)
      context.log.info("dnsbl.listed", { session: session.id, ip, score, zones: found.map(({ zone }) => zone) });
    return result;
  }

  async function askList(
    list: DnsList,
    name: string,
    { log, rehearsal }: SinkContext,
  ): Promise<DnsblResult["hits"][number] | null> {
    const answer = await resolver.address(`${name}.${list.zone}`, 4, { timeoutMs: deadline });
    if (answer.kind === "none") return null;
    if (answer.kind === "failed" || isRefusal(answer.values)) {
      const told = toldAt.get(list.zone);
      // What a rehearsal tells nobody reads.
      if (!rehearsal && (told === undefined || clock.monotonicMs() - told >= toldAgainMs)) {
        toldAt.set(list.zone, clock.monotonicMs());
        const reason =
          answer.kind === "failed" ? answer.reason : `it refuses to answer us: ${answer.values.join(", ")}`;
        log.warn("dnsbl.list-failed", { zone: list.zone, reason });
      }
      return null;
    }
    const codes = countingCodes(list, answer.values);
    return codes.length > 0 ? { zone: list.zone, weight: list.weight, codes: codes.slice(0, codesMax) } : null;
  }

  /** Once in a session, for as long as it stands for the same client; null where nobody is to be asked. */
  function resultOf(session: Session, context: SinkContext): DnsblResult | Promise<DnsblResult> | null {
    const { ip, user } = session;
    if (user !== null || isPrivate(ip) || isExcepted(ip)) return null;
    const known = asked.get(session);
    if (known?.ip === ip) return known.result ?? known.answers;
    const answers = lookUp(session, context);
    const now: Asked = { ip, answers, result: null };
    asked.set(session, now);
    return answers.then((result) => (now.result = result));
  }

  function verdictOn({ listed, hits }: DnsblResult): Verdict {
    if (!listed) return proceed;
    // The heaviest is the one to turn to.
    const [heaviest] = [...hits].sort((one, other) => other.weight - one.weight);
    const named = `${words} at ${heaviest!.zone}`;
    // Long words leave no room for the name.
    const told = tellZone && Buffer.byteLength(named) <= verdictTextOctetsMax ? named : words;
    return action === "defer" ? defer(told) : refuse(told);
  }

  const decide = ({ session }: { readonly session: Session }, context: SinkContext) => {
    const result = resultOf(session, context);
    if (result === null) return proceed;
    return result instanceof Promise ? result.then(verdictOn) : verdictOn(result);
  };

  if (action !== "mark") return { name: "dnsbl", onConnect: decide, onMailFrom: decide, onRcptTo: decide };
  return {
    name: "dnsbl",
    async onEndOfData({ session, message }, context) {
      const result = await resultOf(session, context);
      // What the sender wrote there himself would be taken for our word.
      const header = message.header.has(markField) ? message.header.remove(markField) : message.header;
      if (!result?.listed) {
        if (header !== message.header) message.header = header;
        return;
      }
      const hits = result.hits.map(({ zone, codes }) => `${zone}=${codes.join("/")}`);
      message.header = header.prepend(markField, `score=${result.score}; ${hits.join("; ")}`);
      message.notes = { ...message.notes, dnsbl: { ...result } };
    },
  };
}
