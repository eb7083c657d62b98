/**
 * Greylisting: who has not been seen with this sender and recipient is asked to come again. RFC 6647. A mail server does, most senders of junk do not.
 * A client is its network, so that a farm of servers is one; what is remembered survives a restart.
 */
import { join } from "node:path";
import { compileNetworks } from "../events/network.ts";
import type { Sink } from "../events/sink.ts";
import { defer, proceed } from "../events/verdict.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { ReversePath } from "../mail/path.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";
import { describeThrown } from "../platform/fault.ts";
import { count, duration } from "../platform/value.ts";
import { GreylistStore, type Seen } from "./greylist-store.ts";
import { networkOf } from "./ip-octets.ts";
import { propertiesFault, property, type ValuesOf } from "./property.ts";
import { networkList, replyText } from "./property-kind.ts";
import type { SinkPorts } from "./sink-ports.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const greylistProperties = {
  wait: property(
    duration({ minMs: second, maxMs: day }),
    5 * minute,
    "An attempt sooner than this after the first is deferred again.",
  ),
  // RFC 6647 §5: a retry within a day.
  window: property(
    duration({ minMs: minute, maxMs: 30 * day }),
    day,
    "An attempt later than this after the first is a first one again.",
  ),
  lifetime: property(
    duration({ minMs: hour, maxMs: 365 * day }),
    36 * day,
    "Who has passed is remembered for so long after the last message.",
  ),
  auto_allow: property(
    count({ min: 0, max: 10_000 }),
    5,
    "So many senders and recipients of a client's network passed: the network does not wait any more; 0 is never.",
  ),
  network_bits_v4: property(count({ min: 8, max: 32 }), 24, "Leading bits of an IPv4 address that make a client."),
  network_bits_v6: property(count({ min: 16, max: 128 }), 64, "Leading bits of an IPv6 address that make a client."),
  except_networks: property(networkList, [], "Clients that never wait. Users who logged in do not either."),
  entries_max: property(
    count({ min: 100, max: 10_000_000 }),
    500_000,
    "Triplets that are remembered; those seen longest ago are forgotten.",
  ),
  text: property(replyText, "Please try again later", "What the client is told."),
};

/** How often what is over is removed. */
const purgeMs = hour;

/** @throws {Fault} `sink.properties`, and what the database says where it cannot be opened */
export async function greylist(
  values: ValuesOf<typeof greylistProperties>,
  { clock, log, folder }: SinkPorts,
): Promise<Sink> {
  const {
    wait: waitMs,
    window: windowMs,
    lifetime: lifetimeMs,
    auto_allow: autoAllow,
    entries_max: entriesMax,
  } = values;
  if (waitMs >= windowMs) throw propertiesFault("greylist", ["window: expected more than wait"]);
  const bits = { v4: values.network_bits_v4, v6: values.network_bits_v6 };
  const isExcepted = compileNetworks(values.except_networks);
  // How often a client's last time is written: seldom, and well before it is forgotten.
  const touchMs = Math.min(hour, lifetimeMs / 24);
  if (folder !== null) await makeFolderDurably(folder);
  const store = new GreylistStore(folder === null ? ":memory:" : join(folder, "greylist.db"), { entriesMax });
  const later = defer(values.text, { code: 451, status: "4.7.1" });

  const isOver = ({ firstAt, lastAt, passed }: Seen, now: number) =>
    passed ? now - lastAt > lifetimeMs : now - firstAt > windowMs;
  let cancelPurge: () => void;
  const purge = () => {
    const now = clock.now();
    try {
      store.purge({ waitingBefore: now - windowMs, passedBefore: now - lifetimeMs });
    } catch (error) {
      log.error("greylist.purge-failed", { reason: describeThrown(error) });
    }
    cancelPurge = clock.after(purgeMs, purge);
  };
  purge();

  return {
    name: "greylist",
    onRcptTo({ session, transaction, forwardPath }, { log, rehearsal }) {
      if (session.user !== null || isExcepted(session.ip)) return proceed;
      const now = clock.now();
      const network = networkOf(session.ip, bits);
      if (autoAllow > 0) {
        const client = store.client(network);
        if (client !== null && client.passes >= autoAllow && now - client.lastAt <= lifetimeMs) {
          if (!rehearsal && now - client.lastAt >= touchMs) store.touchClient(network, now);
          return proceed;
        }
      }
      const key = `${network} ${senderKey(transaction.reversePath)} ${recipientKey(forwardPath)}`;
      const seen = store.triplet(key);
      if (seen === null || isOver(seen, now)) {
        if (!rehearsal) store.first(key, now);
        log.info("greylist.deferred", { session: session.id, ip: session.ip, message: transaction.id, first: true });
        return later;
      }
      if (!seen.passed && now - seen.firstAt < waitMs) {
        log.info("greylist.deferred", { session: session.id, ip: session.ip, message: transaction.id, first: false });
        return later;
      }
      if (!rehearsal) store.pass(key, now, seen.passed ? null : network);
      return proceed;
    },
    close() {
      cancelPurge();
      store.close();
    },
  };
}

/** Senders that put a number or an address into each reverse-path would be new each time: numbers count as one, and what stands behind "+" or "=" not at all. */
function senderKey(path: ReversePath): string {
  if (path === null) return "<>";
  const plain = path.localPart
    .toLowerCase()
    .replace(/[+=].*$/su, "")
    .replace(/\d+/g, "0");
  return `${plain.replaceAll(" ", "_")}@${path.domain}`;
}

function recipientKey({ localPart, domain }: Mailbox): string {
  return `${localPart.toLowerCase().replaceAll(" ", "_")}@${domain}`;
}
