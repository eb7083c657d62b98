/** What a binding's fault means for whoever asked. Pure. */
import type { Binding } from "./binding.ts";
import type { EventName } from "./event.ts";
import { eventTable } from "./event-table.ts";
import { defer, proceed, quarantine, refuse, type Verdict } from "./verdict.ts";

/**
 * What a fault means, in words that do not tell the client which policy failed. What an event does not take becomes defer (quarantine before there is a message), or
 * proceed where nothing waits for an answer.
 */
export function onFaultVerdict(event: EventName, binding: Binding): Verdict {
  const allowed = eventTable[event].verdicts;
  switch (binding.onFault) {
    case "proceed":
      return proceed;
    case "quarantine":
      if (allowed.includes("quarantine")) return quarantine(`${binding.name} failed`);
      break;
    case "refuse":
      if (allowed.includes("refuse")) return refuse("The message cannot be processed", { code: 550, status: "5.3.0" });
      break;
    case "defer":
      break;
  }
  return allowed.includes("defer")
    ? defer("Temporary problem, please try again later", { code: 451, status: "4.3.0" })
    : proceed;
}
