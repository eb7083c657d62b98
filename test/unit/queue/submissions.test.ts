/** Messages that sinks make of one in the queue: committed with what it became, once, or not at all. */
import { describe, expect, test } from "vitest";
import { defer, discard, quarantine, refuse } from "../../../src/events/verdict.ts";
import { madeByNote } from "../../../src/mail/made-by.ts";
import type { Message } from "../../../src/mail/message.ts";
import { createCategorizing } from "../../support/categorizing.ts";
import { createBinding } from "../../support/events.ts";
import { settle } from "../../support/fake-clock.ts";
import { setUpQueue } from "../../support/queue-setup.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const submission = (id = "MADE000000000000") => ({
  message: createSampleMessage({ id, from: null, to: ["ann@example.org"], data: "Subject: made\r\n\r\nx\r\n" }),
});
const make = (event: "onArrival" | "onPreCategorize" | "onPostCategorize", verdict?: unknown) =>
  createBinding(
    event,
    ({ message }: { readonly message: Message }) => {
      message.submissions = [...message.submissions, submission()];
      return verdict;
    },
    event === "onArrival" ? { phase: "queue" } : {},
  );

describe("createCategorizer", () => {
  test.each(["onArrival", "onPreCategorize", "onPostCategorize"] as const)(
    "gives what is made at %s, and leaves none of it with the message",
    async (event) => {
      const result = await createCategorizing({ bindings: [make(event)] }).categorize(createSampleMessage());
      expect(result.kind).toBe("changed");
      expect(result.submissions?.map(({ message }) => message.id)).toEqual(["MADE000000000000"]);
      expect(result.kind === "changed" && result.message.submissions).toEqual([]);
    },
  );

  test.each([
    ["refused", refuse("no"), undefined],
    ["deferred", defer("later"), undefined],
    ["discarded", discard("no use"), 1],
    ["quarantined", quarantine("odd"), 1],
  ])("makes nothing of what is refused or deferred: %s", async (kind, verdict, count) => {
    const result = await createCategorizing({ bindings: [make("onPreCategorize", verdict)] }).categorize(
      createSampleMessage(),
    );
    expect([result.kind, result.submissions?.length]).toEqual([kind, count]);
  });

  test("gives it once where the message becomes several", async () => {
    const site = createCategorizing({
      aliases: "team: ann, bob\nowner-team: ann\n",
      bindings: [make("onPreCategorize")],
    });
    const sample = createSampleMessage({ to: ["team@example.test", "carl@example.test"] });
    const result = await site.categorize(sample);
    if (result.kind !== "changed") throw new Error(result.kind);
    expect(result.submissions).toHaveLength(1);
    expect([result.message, ...result.forks].flatMap((message) => message.submissions)).toEqual([]);
    expect(result.forks.length).toBeGreaterThan(0);
  });

  test("asks nobody about the arrival of what a script made", async () => {
    const message = createSampleMessage();
    message.notes = { [madeByNote]: { scripts: [], generation: 1, of: "X" } };
    const result = await createCategorizing({ bindings: [make("onArrival")] }).categorize(message);
    expect(result.kind).toBe("unchanged");
  });
});

describe("Queue", () => {
  test.each(["changed", "discarded"] as const)("takes it in the commit of what is %s, and sends it", async (kind) => {
    const told: string[] = [];
    const made = { ...submission(), taken: () => void told.push("taken") };
    const { queue, attempts, take, log } = setUpQueue({
      options: {
        async categorize(message) {
          if (message.id === made.message.id) return { kind: "unchanged" };
          const submissions = [made];
          return kind === "changed"
            ? { kind, message, forks: [], failures: [], submissions }
            : { kind, reason: "no use", by: null, submissions };
        },
      },
    });
    await queue.start();
    await take();
    for (let turn = 0; turn < 4; turn++) await settle();
    expect(told).toEqual(["taken"]);
    expect(log.of("message.submitted")).toHaveLength(1);
    expect(attempts.map((attempt) => attempt.message.id)).toContain(made.message.id);
  });
});
