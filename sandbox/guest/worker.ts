/**
 * Runs inside the isolate: where a script is a worker (`export default { email(message, env, ctx) }`), its run goes through here. How that is
 * done is in web-worker.ts, which is compiled in only where a script's code has such an export.
 */
import type { ArrivedMail, Context } from "../api.ts";
import { TypeErrorOf } from "./primordials.ts";
import type { RunState } from "./run-state.ts";

/** One message for a worker. `worker` and `env` are what the script exports as `default` and `env`, unchecked. */
export interface WorkerCall {
  readonly worker: unknown;
  readonly env: unknown;
  readonly state: RunState;
  readonly mail: ArrivedMail;
  readonly context: Context;
}

type Runner = (call: WorkerCall) => Promise<void>;

let runner: Runner | null = null;

/** Told by web-worker.ts when it is compiled in. */
export function setWorkerRunner(fresh: Runner): void {
  runner = fresh;
}

/** Calls the worker once for each matched recipient; resolves when all is done that it asked to be waited for, and rejects as it rejects. */
export async function runWorker(call: WorkerCall): Promise<void> {
  if (runner === null)
    throw new TypeErrorOf(
      "This default export cannot be run as a worker: write `export default { async email(message, env, ctx) { … } }`",
    );
  await runner(call);
}
