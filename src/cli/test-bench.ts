/** What every kind of `onarrival test` starts with: a sandbox with the limits of the configuration, and a maker of scripts' new messages that sends none. */
import { Sandbox } from "../../sandbox/host.ts";
import { defaultLimits, type ScriptLimits } from "../../sandbox/protocol.ts";
import type { Config } from "../config/schema.ts";
import { createMaker } from "../main-maker.ts";
import type { TesterOptions } from "../main-test-run.ts";
import { systemClock } from "../platform/clock.ts";

export function limitsOf({ scripts }: Config): ScriptLimits {
  return { ...defaultLimits, ...scripts.limits };
}

export function openSandbox(config: Config): Promise<Sandbox> {
  return Sandbox.start({ processes: 1, limits: limitsOf(config), rssMiBMax: config.scripts.rssMiBMax });
}

/** Domains of users are those of the configuration. */
export function makerOf(config: Config): NonNullable<TesterOptions["createMaker"]> {
  const local = new Set(config.domains.local);
  return (take) =>
    createMaker({
      config,
      isLocal: (domain) => local.has(domain),
      postmasterDomain: () => config.domains.local[0] ?? config.hostname,
      clock: systemClock,
      take,
    });
}
