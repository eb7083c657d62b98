/** A thread for tests: does what a job tells it to, good or bad. */
import { serveJobs } from "../../../src/platform/thread-jobs.ts";

export type TestWork =
  | { readonly kind: "say"; readonly text: string }
  | { readonly kind: "ask"; readonly question: string }
  | { readonly kind: "throw" | "spin" | "exit" | "eat" };

serveJobs<TestWork, string, string, string>(async (work, ask) => {
  switch (work.kind) {
    case "say":
      return work.text;
    case "ask":
      return ask(work.question);
    case "throw":
      throw new Error("thrown");
    case "spin":
      for (;;);
    case "exit":
      return process.exit(3);
    case "eat": {
      const all: unknown[] = [];
      for (;;) all.push(new Array(10_000).fill({}));
    }
    default:
      // What is no work of ours is never done.
      return new Promise(() => {});
  }
});
