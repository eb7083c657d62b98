/** Where a native sink stands in the order of its event when nobody says where. */
import { priorityDefault } from "../events/binding.ts";

/** Behind the server's own relay control, which is at `priorityDefault`: about recipients that are not taken nobody is asked. */
export const behindRelayControl = 25_000;

/** @param use the sink's name, where it is one of ours */
export function defaultPriority(use: string | null): number {
  // 451 for an address that is not there would have its sender come again for nothing.
  return use === "greylist" ? behindRelayControl : priorityDefault;
}
