/** Refuses a message that has passed through too many hosts: most likely it loops. RFC 5321 §6.3. */
import type { Sink } from "../events/sink.ts";
import { proceed, refuse } from "../events/verdict.ts";
import { count } from "../platform/value.ts";
import { property } from "./property.ts";

/** RFC 5321 §6.3 asks for a large threshold, at least 100. */
export const hopsMaxDefault = 100;

export const loopGuardProperties = {
  hops_max: property(count({ min: 1, max: 1_000 }), hopsMaxDefault, "Received fields of a message that is taken."),
};

export function loopGuard({ hopsMax = hopsMaxDefault }: { readonly hopsMax?: number } = {}): Sink {
  return {
    name: "loop-guard",
    onArrival({ message }, { log }) {
      const hops = message.header.count("Received");
      if (hops <= hopsMax) return proceed;
      log.info("loop-guard.refused", { message: message.id, hops, hopsMax });
      return refuse("Too many hops: routing loop suspected", { code: 554, status: "5.4.6" });
    },
  };
}
