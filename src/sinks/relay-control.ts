/** Takes mail for our own domains, for domains we relay for, and from users who logged in; nothing else. No open relay: RFC 5321 §7.9, RFC 2505. */
import type { Sink } from "../events/sink.ts";
import { proceed, refuse } from "../events/verdict.ts";
import { property } from "./property.ts";
import { domainList } from "./property-kind.ts";

export const relayControlProperties = {
  local: property(domainList, [], "Domains whose mailboxes are here."),
  relay: property(domainList, [], "Domains whose mail is passed on."),
};

export interface RelayControlOptions {
  /** Lower-case domains whose mailboxes are here. */
  readonly localDomains: ReadonlySet<string>;
  /** Lower-case domains whose mail we pass on. */
  readonly relayDomains: ReadonlySet<string>;
}

export function relayControl({ localDomains, relayDomains }: RelayControlOptions): Sink {
  return {
    name: "relay-control",
    onRcptTo({ session, forwardPath, accepted }) {
      if (accepted !== null || session.user !== null) return proceed;
      if (localDomains.has(forwardPath.domain) || relayDomains.has(forwardPath.domain)) return proceed;
      return refuse("We do not relay", { code: 550, status: "5.7.1" });
    },
  };
}
