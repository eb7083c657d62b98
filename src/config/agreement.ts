/** What must hold between options that are right one by one: names that differ, a pair that belongs together, an order of times. */
import type { EventName } from "../events/event.ts";
import { parseRule } from "../events/rule.ts";
import { parseNameServer } from "../platform/dns-machine.ts";
import { Fault } from "../platform/fault.ts";
import { formatDuration } from "../platform/value.ts";
import type { KeyPath } from "./locate.ts";
import type { ConfigValues } from "./schema.ts";
import type { Finding } from "./validate.ts";

/** Where other problems were found the values are not complete: what is missing is then undefined, whatever its type says, and is passed over. */
export function checkTogether({ listeners, delivery, dns, sinks, scripts, admin }: ConfigValues): Finding[] {
  const findings: Finding[] = [];
  const find = (path: KeyPath, message: string) => findings.push({ path, message });

  if (listeners.length === 0) find(["listeners"], "there is no listener: expected at least one [[listeners]]");
  const ports = new Map<string, string>();
  if (admin.port !== 0) ports.set(`${admin.address} ${admin.port}`, "the admin port");
  const names = new Set<string>();
  for (const [i, { name, address, port }] of listeners.entries()) {
    const known = String(name).toLowerCase();
    if (name && names.has(known))
      find(["listeners", i, "name"], `a listener named ${JSON.stringify(name)} stands before: expected another name`);
    names.add(known);
    const holder = ports.get(`${address} ${port}`);
    if (port > 0 && holder !== undefined)
      find(["listeners", i, "port"], `${address} port ${port} is taken by ${holder}`);
    ports.set(`${address} ${port}`, `listener ${name}`);
  }

  for (const [i, { engine, auth, trusted, tls, binarymime }] of listeners.entries()) {
    const needsNative = [
      ...(binarymime ? ["binarymime"] : []),
      ...(auth.mechanisms.includes("SCRAM-SHA-256") ? ["auth.mechanisms with SCRAM-SHA-256"] : []),
      ...(trusted.proxy.length > 0 ? ["trusted.proxy"] : []),
      ...(trusted.xclient.length > 0 ? ["trusted.xclient"] : []),
      ...(trusted.xforward.length > 0 ? ["trusted.xforward"] : []),
      ...(tls?.more.length ? ["tls.more"] : []),
    ];
    if (engine === "library" && needsNative.length > 0)
      find(["listeners", i, "engine"], `the library engine has no ${needsNative.join(", ")}: expected "native"`);
  }

  const { first, max, lifetime } = delivery.retry;
  if (first > max)
    find(
      ["delivery", "retry", "first"],
      `expected at most delivery.retry.max (${formatDuration(max)}), found ${formatDuration(first)}`,
    );
  if (max > lifetime)
    find(
      ["delivery", "retry", "max"],
      `expected at most delivery.retry.lifetime (${formatDuration(lifetime)}), found ${formatDuration(max)}`,
    );
  const smarthost = delivery.smarthost;
  if (smarthost?.password_file != null && smarthost.user === null)
    find(["delivery", "smarthost", "user"], "expected a user beside password_file");
  if (smarthost?.user != null && smarthost.password_file === null)
    find(["delivery", "smarthost", "password_file"], "expected a password_file beside user");
  if (smarthost?.implicit_tls && smarthost.tls === "off")
    find(["delivery", "smarthost", "tls"], 'implicit_tls is TLS: expected "required" or "opportunistic"');
  if (smarthost?.user != null && smarthost.tls === "off")
    find(
      ["delivery", "smarthost", "tls"],
      'a password is not sent in the clear: expected "required" or "opportunistic"',
    );

  // A look-up asks `dns.servers` alone: who is believed and is not there would never be heard.
  const asked = new Set(dns.servers?.map(spellingOf));
  for (const server of asked.size > 0 ? (dns.trusted ?? []) : [])
    if (!asked.has(spellingOf(server)))
      find(["dns", "trusted"], `${server} is not among dns.servers: expected one of them`);

  for (const [i, { use, module, event, events, rule }] of sinks.entries()) {
    if (use === null && module === null) find(["sinks", i, "module"], "no sink: expected use or module");
    if (use !== null && module !== null)
      find(["sinks", i, "module"], "use and module are both there: expected one of them");
    if (event === null && events === null && use === null)
      find(["sinks", i, "event"], "no event: expected event or events");
    if (event !== null && events !== null)
      find(["sinks", i, "events"], "event and events are both there: expected one of them");
    for (const name of typeof rule === "string" ? (events ?? [event ?? undefined]) : []) {
      const wrong = ruleProblem(rule!, name);
      if (wrong !== undefined) find(["sinks", i, "rule"], wrong);
    }
  }

  const { cpu, wall, heap } = scripts.limits;
  if (cpu > wall)
    find(
      ["scripts", "limits", "cpu"],
      `expected at most scripts.limits.wall (${formatDuration(wall)}), found ${formatDuration(cpu)}`,
    );
  if (heap >= scripts.rss_max) find(["scripts", "limits", "heap"], "expected less than scripts.rss_max");
  return findings;
}

/** One for each name server, however it is written. */
function spellingOf(server: string): string {
  const { address, port } = parseNameServer(server);
  return `${address} ${port}`;
}

function ruleProblem(rule: string, event: EventName | undefined): string | undefined {
  try {
    parseRule(rule, event);
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error.message;
  }
}
