/** What sinks see at onResolve, and what they may supply. */
import { isIP } from "node:net";
import type { HopTarget, ResolveSubject } from "../events/subject-transport.ts";
import { Revocable } from "../events/undo.ts";
import { formatNextHop, formatServer, type NextHop } from "../mail/next-hop.ts";
import { isHostName, plainName } from "../platform/dns-message.ts";
import { Fault } from "../platform/fault.ts";

const targetsMax = 20;
const addressesMax = 20;

/** Powers are fields, so that a sink may take them out of its subject. */
export class ResolveDecision extends Revocable implements ResolveSubject {
  readonly nextHop: NextHop;
  targets: readonly HopTarget[] | null = null;

  constructor(nextHop: NextHop) {
    super();
    this.nextHop = nextHop;
  }

  readonly supply = (...targets: readonly HopTarget[]): void => {
    const fail = (expected: string) =>
      new Fault("next-hop.syntax", `Cannot take targets for ${formatNextHop(this.nextHop)}: expected ${expected}`);
    if (targets.length === 0 || targets.length > targetsMax) throw fail(`1 to ${targetsMax} of them`);
    this.targets = targets.map(({ host: written, port, addresses }) => {
      const host = plainName(String(written));
      if (isIP(host) === 0 && !isHostName(host)) throw fail(`a host name or an address, not ${JSON.stringify(host)}`);
      if (!Number.isInteger(port) || port < 1 || port > 65_535) throw fail(`a port from 1 to 65535, not ${port}`);
      if (!Array.isArray(addresses) || addresses.length === 0 || addresses.length > addressesMax)
        throw fail(`1 to ${addressesMax} addresses of ${host}`);
      const wrong = addresses.find((ip) => isIP(String(ip)) === 0);
      if (wrong !== undefined) throw fail(`addresses of ${host}, not ${JSON.stringify(wrong)}`);
      return { host, port, addresses: [...(addresses as readonly string[])] };
    });
    this.note(`supply ${this.targets.map(formatServer).join(", ")}`);
  };
}
