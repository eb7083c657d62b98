/** The gate of the review: it keeps nothing out, and warns of what was found. Reading the code is a thread's work, so that no mail waits for it. */
import type { Clock } from "../platform/clock.ts";
import { ThreadPool } from "../platform/thread-pool.ts";
import type { Gate } from "./gates.ts";
import { describeFinding, describeNoReview, type ReviewWork } from "./review.ts";
import type { Finding } from "./review-finding.ts";

const reviewMsMax = 10_000;

export interface ReviewGate extends Gate {
  /** Ends its thread. */
  close(): Promise<void>;
}

export function createReviewGate({ clock }: { readonly clock: Clock }): ReviewGate {
  const threads = new ThreadPool<ReviewWork, readonly Finding[]>({
    script: new URL("./review-worker.ts", import.meta.url),
    clock,
    timeoutMs: reviewMsMax,
    heapMiBMax: 256,
  });
  return {
    name: "review",
    policy: "warn",
    async check({ compiled: { name, code, sourceMap, sources }, exports }) {
      const ran = await threads.run(() => ({ work: { compiled: { name, code, sourceMap, sources }, exports } }));
      if (ran.kind === "failed") return ran.why === "closed" ? [] : [describeNoReview(ran.reason)];
      // The registry warns of these by itself.
      return ran.result.filter(({ code: finding }) => finding !== "rule-trap").map(describeFinding);
    },
    close: () => threads.close(),
  };
}
