/** The thread's side of a thread pool: takes jobs, lets them ask the main thread, and says how they ended. What the two say to each other is here too. */
import { parentPort } from "node:worker_threads";
import { describeThrown } from "./fault.ts";

export type ToThread =
  | { readonly kind: "job"; readonly job: number; readonly work: unknown }
  | { readonly kind: "answer"; readonly ask: number; readonly value: unknown }
  | { readonly kind: "unanswered"; readonly ask: number; readonly reason: string };

export type FromThread =
  | { readonly kind: "done"; readonly job: number; readonly result: unknown }
  | { readonly kind: "threw"; readonly job: number; readonly reason: string }
  | { readonly kind: "ask"; readonly job: number; readonly ask: number; readonly question: unknown };

/** Runs `handle` for every job that comes; it may ask the main thread, and whatever it throws is the job's failure and nothing more. */
export function serveJobs<Work, Result, Question = never, Answer = never>(
  handle: (work: Work, ask: (question: Question) => Promise<Answer>) => Result | Promise<Result>,
): void {
  const port = parentPort!;
  const open = new Map<
    number,
    { readonly resolve: (value: Answer) => void; readonly reject: (error: Error) => void }
  >();
  let asks = 0;
  const send = (message: FromThread) => port.postMessage(message);
  const run = async (job: number, work: Work) => {
    try {
      const result = await handle(work, (question) => {
        const ask = ++asks;
        return new Promise<Answer>((resolve, reject) => {
          open.set(ask, { resolve, reject });
          send({ kind: "ask", job, ask, question });
        });
      });
      send({ kind: "done", job, result });
    } catch (error) {
      send({ kind: "threw", job, reason: describeThrown(error) });
    }
  };
  port.on("message", (message: ToThread) => {
    if (message.kind === "job") {
      // The pool's work is made for this module.
      void run(message.job, message.work as Work);
      return;
    }
    const asked = open.get(message.ask);
    open.delete(message.ask);
    if (message.kind === "answer") asked?.resolve(message.value as Answer);
    else asked?.reject(new Error(message.reason));
  });
}
