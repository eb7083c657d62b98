/** Runs inside the isolate: queueMicrotask, and `performance` by the clock of the run, which stands still while a script computes. */
import { clockNow } from "./clock.ts";
import { freeze, TypeErrorOf } from "./primordials.ts";
import { currentRun } from "./run-state.ts";
import { applyTo, defineGlobal } from "./web-primordials.ts";

defineGlobal("queueMicrotask", (callback: unknown) => {
  if (typeof callback !== "function") throw new TypeErrorOf("queueMicrotask takes a function");
  void later(callback as never);
});

/** What it throws is a promise that was rejected and that nobody awaits: a fault of the run. */
async function later(callback: (...args: never[]) => unknown): Promise<void> {
  await undefined;
  applyTo(callback, undefined, []);
}

defineGlobal(
  "performance",
  freeze({
    /** Milliseconds since the run began. */
    now: () => clockNow() - startOfRun(),
    get timeOrigin() {
      return startOfRun();
    },
  }),
);

function startOfRun(): number {
  return currentRun()?.step.clock ?? clockNow();
}
