/** Runs inside the isolate: `setTimeout` and `clearTimeout`. Waiting costs the run of its time, not of its computing; what has not come when the handler is done never comes. */
import { askTimer, cancelTimer, runInHand } from "./calls.ts";
import { define, TypeErrorOf } from "./primordials.ts";

const delayMsMax = 60_000;
const { apply } = Reflect;

export function prepareTimers(): void {
  define(
    globalThis,
    "setTimeout",
    function setTimeout(callBack: unknown, delay: unknown = 0, ...args: unknown[]): number {
      if (typeof callBack !== "function")
        throw new TypeErrorOf("setTimeout calls a function, and makes no code from text");
      const ms = +(delay as number);
      const bounded = ms > 0 ? (ms < delayMsMax ? ms : delayMsMax) : 0;
      return askTimer(runInHand("setTimeout"), bounded, () => {
        apply(callBack as () => void, undefined, args);
      });
    },
    false,
  );
  define(
    globalThis,
    "clearTimeout",
    function clearTimeout(timer: unknown): void {
      if (typeof timer === "number") cancelTimer(timer);
    },
    false,
  );
}
