/** What a reload changes: what is taken up at once, in words, and what needs a restart. */
import type { Config } from "./config/schema.ts";

/** Puts the configured domains into the sets everybody looks at; says what is different. */
export function applyDomains({ domains }: Config, localDomains: Set<string>, relayDomains: Set<string>): string[] {
  const changes: string[] = [];
  for (const [option, present, wanted] of [
    ["domains.local", localDomains, domains.local],
    ["domains.relay", relayDomains, domains.relay],
  ] as const) {
    const before = [...present].sort().join(", ");
    present.clear();
    for (const domain of wanted) present.add(domain);
    const after = [...present].sort().join(", ");
    if (before !== after) changes.push(`${option}: now ${after || "none"}`);
  }
  return changes;
}

/** What is different about the smarthost. */
export function smarthostChanges({ delivery: before }: Config, { delivery: after }: Config): string[] {
  if (JSON.stringify(before.smarthost) === JSON.stringify(after.smarthost)) return [];
  return [`delivery.smarthost: now ${after.smarthost ? `${after.smarthost.host}:${after.smarthost.port}` : "none"}`];
}

/** Whether other sinks are bound now. */
export function sinkChanges({ sinks: before }: Config, { sinks: after }: Config): string[] {
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [`sinks: now ${after.length}`];
}

/** The options of delivery that a reload takes up, beside the smarthost. */
const liveDelivery = [
  "tls",
  "local",
  "remote",
  "http",
  "mxPort",
  "addresses",
  "privateAddresses",
  "mtaSts",
  "dane",
  "shape",
  "reportTemplate",
  "mailboxOctetsMax",
] as const;

/** Options of delivery with other values, in force from now on. */
export function deliveryChanges({ delivery: before }: Config, { delivery: after }: Config): string[] {
  const changed = liveDelivery.filter((option) => JSON.stringify(before[option]) !== JSON.stringify(after[option]));
  return changed.length === 0
    ? []
    : [`delivery: other values of ${changed.length} option${changed.length > 1 ? "s" : ""}`];
}

/** What is different about what scripts may be granted. */
export function grantChanges({ scripts: before }: Config, { scripts: after }: Config): string[] {
  return JSON.stringify(before.grants) === JSON.stringify(after.grants) ? [] : ["scripts.grants: other values"];
}

/** The options of scripts that a reload takes up. */
const liveScripts = ["grants", "packages", "versionsMax", "types", "tests"] as const;

/** The options, section by section, whose new values are not in force before a restart. */
export function needsRestart(running: Config, next: Config): string[] {
  const withoutLive = ({
    domains: _domains,
    routes: _routes,
    sinks: _sinks,
    auth: { senderMustMatch: _match, rate: _rate, ...auth },
    drop: { retentionMs: _retention, sizeOctetsMax: _size, ...drop },
    delivery: { smarthost: _smarthost, ...delivery },
    scripts,
    ...rest
  }: Config) => ({
    ...rest,
    auth,
    drop,
    delivery: without(delivery, liveDelivery),
    scripts: without(scripts, liveScripts),
  });
  const [before, after] = [withoutLive(running), withoutLive(next)];
  return (Object.keys(after) as (keyof typeof after)[])
    .filter((section) => JSON.stringify(before[section]) !== JSON.stringify(after[section]))
    .map((section) => `${section}: changed, needs a restart`);
}

function without(section: object, options: readonly string[]): object {
  return Object.fromEntries(Object.entries(section).filter(([option]) => !options.includes(option)));
}
