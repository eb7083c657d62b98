import { describe, expect, test } from "vitest";
import { type Binding, priorityDefault } from "../../../src/events/binding.ts";
import type { AskName } from "../../../src/events/event.ts";
import type { AskHandler } from "../../../src/events/sink.ts";
import type { CategorizeSubject } from "../../../src/events/subject-transport.ts";
import { defer, discard, proceed, quarantine, refuse, settle, type Verdict } from "../../../src/events/verdict.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { createCategorizing, describeCategorized, expansion } from "../../support/categorizing.ts";
import { createBinding } from "../../support/events.ts";
import { settle as letSettle } from "../../support/fake-clock.ts";
import { createSampleMessage, type SampleMessage } from "../../support/sample-message.ts";

const from = "ada@sender.example";
const sample = (more: SampleMessage = {}) =>
  createSampleMessage({ from, to: ["ann@example.test", "bob@example.test"], ...more });
const ann = parseMailbox("ann@example.test");

function bind<Name extends AskName>(event: Name, handler: AskHandler<Name>, options: Partial<Binding> = {}): Binding {
  return createBinding(event, handler, options);
}

/** A sink that says this of one recipient. */
const about = (name: string, say: (subject: CategorizeSubject) => Verdict | void) =>
  bind("onCategorize", (subject) => (subject.forwardPath.localPart === name ? say(subject) : undefined));

test("createCategorizer: who would ask about its arrival is not asked about what was released", async () => {
  const asked: string[] = [];
  const { categorize } = createCategorizing({
    bindings: [
      bind("onArrival", () => void asked.push("onArrival"), { phase: "queue" }),
      bind("onPreCategorize", () => void asked.push("onPreCategorize")),
    ],
  });
  await categorize(sample({ notes: { released: 1 } }));
  await categorize(sample());
  expect(asked).toEqual(["onPreCategorize", "onArrival", "onPreCategorize"]);
});

describe("createCategorizer: events of the whole message", () => {
  const events = [
    ["onArrival", { phase: "queue" as const }],
    ["onPreCategorize", {}],
    ["onPostCategorize", {}],
  ] as const;
  const verdicts = [
    ["proceed", () => proceed, ["unchanged"]],
    ["settle", () => settle, ["unchanged"]],
    ["refuse", () => refuse("No"), ["refused: 550 5.7.1 No"]],
    ["defer", () => defer("Later"), ["deferred: 451 4.7.1 Later"]],
    ["discard", () => discard("why"), ["discarded: why"]],
    ["quarantine", () => quarantine("why"), ["quarantined: why"]],
  ] as const;
  test.each(
    events.flatMap(([event, options]) =>
      verdicts.map(([why, verdict, expected]) => [why, event, options, verdict, expected] as const),
    ),
  )("%s at %s", async (_why, event, options, verdict, expected) => {
    const { categorize } = createCategorizing({ bindings: [createBinding(event, verdict, options)] });
    const result = await categorize(sample());
    expect(describeCategorized(result)).toEqual(expected);
    if (result.kind !== "unchanged" && result.kind !== "changed") expect(result.by).toMatch(/^sinks\//);
  });

  test("they come in order, each sees what the one before left, and all of it is kept", async () => {
    const seen: string[] = [];
    const tag =
      (name: string) =>
      ({ message }: { readonly message: Message }) => {
        seen.push(`${name} ${message.header.getAll("X-Tag").join("+")}`);
        message.header = message.header.add("X-Tag", name);
      };
    const { categorize } = createCategorizing({
      bindings: [
        bind("onArrival", tag("arrival"), { phase: "queue" }),
        bind("onArrival", tag("session")),
        bind("onPreCategorize", tag("pre")),
        bind("onCategorize", tag("each")),
        bind("onPostCategorize", tag("post")),
      ],
    });
    const original = sample({ to: ["ann@example.test"] });
    const result = await categorize(original);
    expect(seen).toEqual(["arrival ", "pre arrival", "each arrival+pre", "post arrival+pre+each"]);
    expect(result).toMatchObject({ kind: "changed", forks: [], failures: [] });
    const { message } = result as Extract<typeof result, { readonly kind: "changed" }>;
    expect(message.header.getAll("X-Tag")).toEqual(["arrival", "pre", "each", "post"]);
    expect(original.header.has("X-Tag")).toBe(false);
  });

  test("in the phase queue recipients may change; with none left the message is dropped", async () => {
    const to = (...names: string[]) =>
      createCategorizing({
        bindings: [
          bind(
            "onArrival",
            ({ message }) => {
              message.envelope = {
                ...message.envelope,
                recipients: names.map((name) => ({ mailbox: parseMailbox(name) })),
              };
            },
            { phase: "queue" },
          ),
        ],
      }).categorize(sample());
    expect(describeCategorized(await to("x@other.example"))).toEqual([`${from}: x@other.example`]);
    expect(describeCategorized(await to())).toEqual(["discarded: no recipient is left"]);
  });

  test.each(["onPreCategorize", "onCategorize", "onPostCategorize"] as const)(
    "at %s recipients are fixed: writing others is the sink's fault, and nothing of what it did stays",
    async (event) => {
      const { categorize, events, log } = createCategorizing({
        bindings: [
          createBinding(
            event,
            ({ message }: { readonly message: Message }) => {
              message.header = message.header.add("X-Tag", "1");
              message.envelope = { ...message.envelope, recipients: [{ mailbox: ann }] };
            },
            { id: "sinks/bad", onFault: "proceed" },
          ),
        ],
      });
      expect(describeCategorized(await categorize(sample()))).toEqual(["unchanged"]);
      expect(events.healthOf("sinks/bad").lastFault?.code).toBe("recipients.fixed");
      expect(log.of("sink.failed")[0]!.fields).toMatchObject({ binding: "sinks/bad", code: "recipients.fixed" });
    },
  );

  test("the reverse-path may be another", async () => {
    const { categorize } = createCategorizing({
      bindings: [
        bind("onPreCategorize", ({ message }) => void (message.envelope = { ...message.envelope, reversePath: ann })),
      ],
    });
    expect(describeCategorized(await categorize(sample()))).toEqual([
      "ann@example.test: ann@example.test, bob@example.test",
    ]);
  });

  test.each(["onPreCategorize", "onCategorize", "onPostCategorize"] as const)(
    "what a sink does to the message behind %s reaches nothing",
    async (event) => {
      const late: Message[] = [];
      const { categorize } = createCategorizing({
        bindings: [createBinding(event, ({ message }: { readonly message: Message }) => void late.push(message))],
      });
      const original = sample();
      await categorize(original);
      for (const message of late) {
        expect(message).not.toBe(original);
        expect(() => {
          message.header = message.header.add("X-Late", "1");
        }).toThrow(expect.objectContaining({ code: "message.revoked" }));
      }
      expect(late.length).toBeGreaterThan(0);
    },
  );

  test("a sink that never answers is not waited for longer than its time", async () => {
    const { categorize, clock } = createCategorizing({
      bindings: [bind("onPreCategorize", () => new Promise<void>(() => {}), { timeoutMs: 1_000, onFault: "defer" })],
    });
    const result = categorize(sample());
    await clock.advance(1_000);
    expect(describeCategorized(await result)).toEqual([expect.stringMatching(/^deferred: 451 4.3.0/)]);
  });
});

describe("createCategorizer: onCategorize", () => {
  test.each([
    ["local", "ann@example.test", "local"],
    ["relay", "ann@example.test", "relay"],
    ["nobody", "ann@example.test", undefined],
  ] as const)("whom no file names is what a sink took him for at RCPT: %s", async (_why, to, accepted) => {
    const { categorize } = createCategorizing({ mailboxes: "bob", aliases: "list: ann, bob" });
    const toOptions = [accepted && { accepted }];
    expect(describeCategorized(await categorize(sample({ to: [to], toOptions })))).toEqual(
      accepted ? ["unchanged"] : [`${from}: `, "failed ann@example.test: 550 5.1.1 No such mailbox here"],
    );
    // It says nothing of those an alias names.
    expect(describeCategorized(await categorize(sample({ to: ["list@example.test"], toOptions })))).toEqual([
      `${from}: bob@example.test`,
      "failed ann@example.test: 550 5.1.1 No such mailbox here",
    ]);
  });

  test.each([
    ["proceed", () => proceed, ["unchanged"]],
    [
      "refuse",
      () => refuse("Gone", { status: "5.2.1" }),
      [`${from}: bob@example.test`, "failed ann@example.test: 550 5.2.1 Gone"],
    ],
    ["defer", () => defer("Later"), ["deferred: 451 4.7.1 Later"]],
    ["discard", () => discard("why"), [`${from}: bob@example.test`]],
    ["quarantine", () => quarantine("why"), [`${from}: bob@example.test`]],
  ] as const)("%s is for that recipient", async (why, verdict, expected) => {
    const { categorize, kept, log } = createCategorizing({ bindings: [about("ann", verdict)] });
    const original = sample();
    const result = await categorize(original);
    expect(describeCategorized(result)).toEqual(expected);
    expect(log.of("recipient.discarded")).toHaveLength(why === "discard" ? 1 : 0);
    expect(
      kept.map(({ message, reason, binding }) => [
        message.id === original.id,
        message.envelope.recipients,
        reason,
        binding,
      ]),
    ).toEqual(why === "quarantine" ? [[false, [{ mailbox: ann }], "why", expect.stringMatching(/^sinks\//)]] : []);
  });

  test("asked again after a kill, it keeps the same copy apart", async () => {
    const { categorize, kept } = createCategorizing({
      bindings: [
        about("ann", () => quarantine("why")),
        about("bob", ({ split }) => split()),
        bind("onPostCategorize", () => quarantine("all of it")),
      ],
    });
    const original = sample({ to: ["ann@example.test", "bob@example.test", "carla@example.test"] });
    for (let times = 0; times < 2; times++) await categorize(original);
    const ids = kept.map(({ message }) => message.id);
    expect([ids.length, new Set(ids).size]).toEqual([6, 3]);
  });

  test("a refusal has its binding in the words for operators", async () => {
    const { categorize } = createCategorizing({ bindings: [about("ann", () => refuse("Gone"))] });
    expect(await categorize(sample())).toMatchObject({
      failures: [{ index: 1, kind: "failed", status: "5.7.1", reason: expect.stringMatching(/^refused by sinks\//) }],
    });
  });

  test("a message whose only recipient is dropped has none left", async () => {
    const { categorize } = createCategorizing({ bindings: [about("ann", () => discard("why"))] });
    const result = await categorize(sample({ to: ["ann@example.test"] }));
    expect(result).toMatchObject({
      kind: "changed",
      message: { envelope: { recipients: [] } },
      forks: [],
      failures: [],
    });
  });

  test.each([
    ["local", { kind: "local" }, ["unchanged"]],
    ["relay", { kind: "relay" }, ["unchanged"]],
    [
      "unknown",
      { kind: "unknown" },
      [`${from}: bob@example.test`, "failed ann@example.test: 550 5.1.1 No such mailbox here"],
    ],
    [
      "unknown, in words",
      { kind: "unknown", reason: "Moved\r\naway" },
      [`${from}: bob@example.test`, "failed ann@example.test: 550 5.1.1 Moved away"],
    ],
    [
      "expand",
      expansion(parseMailbox("x@a.example"), ann),
      [`${from}: ann@example.test, bob@example.test`, `${from}: x@a.example`],
    ],
  ] as const)("a sink says %s in the server's place", async (_why, resolution, expected) => {
    const site = createCategorizing({
      mailboxes: "bob",
      bindings: [about("ann", ({ resolve }) => resolve(resolution))],
    });
    expect(describeCategorized(await site.categorize(sample()))).toEqual(expected);
  });

  test.each([
    ["nobody", { kind: "expand", to: [] }],
    ["what is no mailbox", { kind: "expand", to: [{ localPart: "", domain: "x" }] }],
    ["what is no list", { kind: "expand", to: "x@y.example" }],
    ["an owner that is no mailbox", { kind: "expand", to: [ann], owner: { localPart: "a", domain: "-" } }],
    ["no kind", {}],
    ["nothing", null],
  ])("expanding to %s is the sink's fault", async (_why, resolution) => {
    const bad = about("ann", ({ resolve }) => resolve(resolution as never));
    const { categorize, events } = createCategorizing({ bindings: [{ ...bad, id: "sinks/bad", onFault: "proceed" }] });
    expect(describeCategorized(await categorize(sample()))).toEqual(["unchanged"]);
    expect(events.healthOf("sinks/bad").lastFault?.code).toBe("resolution.invalid");
  });

  test("without any sink nobody is looked up", async () => {
    expect(describeCategorized(await createCategorizing({ bare: true }).categorize(sample()))).toEqual(["unchanged"]);
  });

  test("each address is asked about once, with where it comes from", async () => {
    const asked: string[] = [];
    const { categorize } = createCategorizing({
      aliases: "a: b, c\nb: d\nc: d\n",
      bindings: [
        bind("onCategorize", ({ forwardPath, expandedFrom, attemptId }) => {
          asked.push([...expandedFrom, forwardPath].map(({ localPart }) => localPart).join(">"));
          expect(attemptId).toBe("ATTEMPT000000001");
        }),
      ],
    });
    await categorize(sample({ to: ["a@example.test", "c@example.test"] }));
    expect(asked).toEqual(["a", "a>b", "c", "a>b>d"]);
  });

  test("a sink behind the server's own sees its word and may say another", async () => {
    const { categorize } = createCategorizing({
      aliases: "ann: x",
      bindings: [
        bind(
          "onCategorize",
          ({ resolution, resolve }) => void (resolution?.kind === "expand" && resolve({ kind: "local" })),
          {
            priority: priorityDefault + 1,
          },
        ),
      ],
    });
    expect(describeCategorized(await categorize(sample()))).toEqual(["unchanged"]);
  });

  test("an answer that takes its time is waited for", async () => {
    const { categorize } = createCategorizing({
      bindings: [
        bind("onCategorize", async ({ forwardPath, resolve }) => {
          await letSettle();
          if (forwardPath.localPart === "ann") resolve(expansion(parseMailbox("x@example.test")));
        }),
      ],
    });
    expect(describeCategorized(await categorize(sample()))).toEqual([`${from}: x@example.test, bob@example.test`]);
  });
});

describe("createCategorizer: split", () => {
  const split = (name: string) => about(name, (subject) => subject.split());

  test("gives the recipient a message of its own, that later sinks can tell apart", async () => {
    const { categorize } = createCategorizing({
      bindings: [
        split("bob"),
        bind("onPostCategorize", ({ message }) => {
          const to = message.envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)).join();
          message.header = message.header.add("X-To", to);
        }),
      ],
    });
    const result = await categorize(sample());
    expect(describeCategorized(result)).toEqual([`${from}: ann@example.test`, `${from}: bob@example.test`]);
    const { message, forks } = result as Extract<typeof result, { readonly kind: "changed" }>;
    expect([message, ...forks].map(({ header }) => header.get("X-To"))).toEqual([
      "ann@example.test",
      "bob@example.test",
    ]);
    expect(message.id).not.toBe(forks[0]!.id);
  });

  test("who stands alone stays as he is", async () => {
    const { categorize } = createCategorizing({ bindings: [split("ann")] });
    expect(describeCategorized(await categorize(sample({ to: ["ann@example.test"] })))).toEqual(["unchanged"]);
  });

  test("of an alias all that it stands for share one", async () => {
    const { categorize } = createCategorizing({ aliases: "ann: x, y", bindings: [split("ann")] });
    expect(describeCategorized(await categorize(sample()))).toEqual([
      `${from}: x@example.test, y@example.test`,
      `${from}: bob@example.test`,
    ]);
  });

  test.each([
    ["refuse", () => refuse("No"), [`${from}: ann@example.test`, "failed bob@example.test: 550 5.7.1 No"]],
    ["defer", () => defer("Later"), ["deferred: 451 4.7.1 Later"]],
    ["discard", () => discard("why"), [`${from}: ann@example.test`]],
    ["quarantine", () => quarantine("why"), [`${from}: ann@example.test`]],
  ] as const)("a verdict %s of onPostCategorize is for one of the messages", async (why, verdict, expected) => {
    const { categorize, kept } = createCategorizing({
      bindings: [
        split("bob"),
        bind("onPostCategorize", ({ message }) =>
          message.envelope.recipients.some(({ mailbox }) => mailbox.localPart === "bob") ? verdict() : proceed,
        ),
      ],
    });
    expect(describeCategorized(await categorize(sample()))).toEqual(expected);
    expect(kept).toHaveLength(why === "quarantine" ? 1 : 0);
  });

  test("a verdict for the one that keeps the id leaves the other", async () => {
    const { categorize } = createCategorizing({
      bindings: [
        split("bob"),
        bind("onPostCategorize", ({ message }) =>
          message.envelope.recipients.some(({ mailbox }) => mailbox.localPart === "ann") ? refuse("No") : proceed,
        ),
      ],
    });
    expect(describeCategorized(await categorize(sample()))).toEqual([
      `${from}: `,
      `${from}: bob@example.test`,
      "failed ann@example.test: 550 5.7.1 No",
    ]);
  });
});
