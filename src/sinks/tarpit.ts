/**
 * Lets clients wait for their replies: a guesser of passwords or recipients gets fewer guesses, an impatient sender of junk goes away. Nobody who logged
 * in waits, the waits of a session have an end, and only so many sessions wait at a time.
 */
import { compileNetworks } from "../events/network.ts";
import type { Sink } from "../events/sink.ts";
import type { Session } from "../events/subject.ts";
import { count, duration } from "../platform/value.ts";
import { property, type ValuesOf } from "./property.ts";
import { networkList } from "./property-kind.ts";
import type { SinkPorts } from "./sink-ports.ts";

const second = 1_000;

export const tarpitProperties = {
  // RFC 5321 §4.5.3.2: clients wait five minutes for most replies; a binding gives up after one (`timeout`).
  delay: property(
    duration({ minMs: 1, maxMs: 50 * second }),
    5 * second,
    "Wait before a reply. Keep it below the `timeout` of the binding.",
  ),
  free: property(count({ min: 0, max: 1_000 }), 2, "Negative replies of a session that come without a wait."),
  networks: property(networkList, [], "Clients that wait for every reply, the greeting too."),
  except_networks: property(networkList, [], "Clients that never wait."),
  session_delay_max: property(
    duration({ minMs: 1, maxMs: 3_600 * second }),
    60 * second,
    "Waits of one session, all together.",
  ),
  sessions_max: property(count({ min: 1, max: 100_000 }), 100, "Sessions that wait at a time; one more does not wait."),
};

interface Waited {
  negatives: number;
  delayedMs: number;
  /** Ends the wait that is under way. */
  goOn: (() => void) | undefined;
}

export function tarpit(values: ValuesOf<typeof tarpitProperties>, { clock }: Pick<SinkPorts, "clock">): Sink {
  const { delay: delayMs, free, session_delay_max: sessionDelayMsMax, sessions_max: sessionsMax } = values;
  const isListed = compileNetworks(values.networks);
  const isExcepted = compileNetworks(values.except_networks);
  const waitedBy = new WeakMap<Session, Waited>();
  const waiting = new Set<Waited>();

  const wait = (waited: Waited, ms: number) =>
    new Promise<void>((resolve) => {
      const cancel = clock.after(ms, () => waited.goOn!());
      waiting.add(waited);
      waited.delayedMs += ms;
      waited.goOn = () => {
        cancel();
        waiting.delete(waited);
        waited.goOn = undefined;
        resolve();
      };
    });

  return {
    name: "tarpit",
    onReply({ session, reply }, { rehearsal }) {
      // 421 ends the connection: nobody is to wait for the server's own farewell.
      if (session.user !== null || rehearsal || reply.code === 421) return;
      const isNegative = reply.code >= 400;
      const listed = isListed(session.ip);
      if (!(isNegative || listed) || isExcepted(session.ip)) return;
      let waited = waitedBy.get(session);
      if (!waited) waitedBy.set(session, (waited = { negatives: 0, delayedMs: 0, goOn: undefined }));
      if (isNegative) waited.negatives++;
      if (!listed && waited.negatives <= free) return;
      const ms = Math.min(delayMs, sessionDelayMsMax - waited.delayedMs);
      if (ms <= 0 || waiting.size >= sessionsMax || waited.goOn) return;
      return wait(waited, ms);
    },
    onDisconnect({ session }) {
      waitedBy.get(session)?.goOn?.();
    },
    close() {
      for (const waited of [...waiting]) waited.goOn?.();
    },
  };
}
