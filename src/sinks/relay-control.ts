/**
 * Takes mail for our own domains, for domains we relay for, and from users who logged in; nothing else. No open relay: RFC 5321 §7.9, RFC 2505. Of a local domain
 * only addresses that are there, so that nobody is sent a failure report he did not ask for.
 */
import type { Sink } from "../events/sink.ts";
import { proceed, refuse } from "../events/verdict.ts";
import type { AddressBook } from "./address-files.ts";
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
  /** Which addresses of the local domains are there; absent: all. */
  readonly book?: Pick<AddressBook, "refusal">;
}

export function relayControl({ localDomains, relayDomains, book }: RelayControlOptions): Sink {
  return {
    name: "relay-control",
    onRcptTo({ session, forwardPath, accepted }) {
      if (accepted !== null) return proceed;
      if (localDomains.has(forwardPath.domain)) {
        const refusal = book?.refusal(forwardPath) ?? null;
        return refusal === null ? proceed : refuse(refusal, { code: 550, status: "5.1.1" });
      }
      if (session.user !== null || relayDomains.has(forwardPath.domain)) return proceed;
      return refuse("We do not relay", { code: 550, status: "5.7.1" });
    },
  };
}
