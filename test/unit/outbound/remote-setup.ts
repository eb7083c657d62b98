/** Delivery to other servers for tests: a remote that finds what it is told behind every next hop. */
import { afterEach } from "vitest";
import type { RemoteHop, Resolved, Target } from "../../../src/outbound/hop-targets.ts";
import { createRemote, type Remote, type RemoteOptions } from "../../../src/outbound/remote.ts";
import type { Doubt, TlsRequirement } from "../../../src/outbound/tls-requirement.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import { createSampleMessage, type SampleMessage } from "../../support/sample-message.ts";
import { type Answer, agree, startPeer } from "../../support/smtp-peer.ts";
import { authority } from "./certificates.ts";
import { recipientsOf } from "./smtp-setup.ts";

const remotes: Remote[] = [];
afterEach(() => {
  for (const remote of remotes.splice(0)) remote.close();
});

export const mx: RemoteHop = { kind: "mx", domain: "example.org" };
export const opportunistic: TlsRequirement = { policy: "opportunistic", by: "default" };

export interface Site extends Partial<Omit<RemoteOptions, "hops" | "tls">> {
  readonly targets?: readonly Target[];
  readonly resolved?: Resolved;
  readonly resolve?: () => Promise<Resolved>;
  /** By host. */
  readonly requirements?: Readonly<Record<string, TlsRequirement>>;
  /** Of every host. */
  readonly doubt?: Doubt | null;
}

/** A remote that finds these targets behind every next hop. */
export function createSite({ targets = [], resolved, requirements = {}, resolve, doubt = null, ...options }: Site) {
  const records: unknown[] = [];
  const asked: unknown[] = [];
  const remote = createRemote({
    settings: { smarthost: null, tlsPolicies: [] },
    hostName: "mail.example.test",
    clock: systemClock,
    certificateAuthorities: authority,
    hops: {
      async resolve(hop, smarthost) {
        asked.push([hop, smarthost]);
        if (resolve) return resolve();
        return resolved ?? { kind: "targets", targets, fromMx: hop.kind === "mx", domain: domainOf(hop) };
      },
    },
    tls: {
      of: async (_domain, all) => all.map(({ host }) => requirements[host] ?? opportunistic),
      doubtOf: async () => doubt,
      record: (result) => {
        records.push(result);
      },
    },
    ...options,
  });
  remotes.push(remote);
  return { remote, records, asked };
}

function domainOf(hop: RemoteHop): string | null {
  return hop.kind === "mx" ? hop.domain : null;
}

export function target(host: string, port: number, ...addresses: string[]): Target {
  return { host, port, addresses: addresses.length > 0 ? addresses : ["127.0.0.1"], authentic: false };
}

export function workFor(hop: RemoteHop = mx, sample: SampleMessage = {}) {
  const message = createSampleMessage({ to: ["a@example.org", "b@example.org"], ...sample });
  return { hop, message, recipients: recipientsOf(message), attemptId: "A1" };
}

/** A port of ours where nobody listens. */
export async function emptyPort(): Promise<number> {
  const peer = await startPeer();
  await peer.close();
  return peer.port;
}

export function said(outcomes: readonly Outcome[]): string[] {
  return outcomes.map(({ kind, nextHop, reply }) => [kind, nextHop, reply?.code].filter(Boolean).join(" "));
}

export const taking: Answer = (line) => agree(line);
