/** A first attempt with nothing at its ends: where each recipient would end, by the queue's own code. */
import { describe, expect, test } from "vitest";
import type { Binding } from "../../src/events/binding.ts";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import type { CategorizeSubject, LocalDeliverySubject, RouteSubject } from "../../src/events/subject-transport.ts";
import { defer, discard, quarantine, refuse } from "../../src/events/verdict.ts";
import { describeDestination, rehearseAttempt, rehearseRoute } from "../../src/main-rehearsal-transport.ts";
import { localDelivery } from "../../src/outbound/local.ts";
import { compileRoutes, Router } from "../../src/outbound/router.ts";
import { categorizer } from "../../src/sinks/categorizer.ts";
import { serverBindings } from "../../src/sinks/load-sinks.ts";
import { createCategorizing, noScripts } from "../support/categorizing.ts";
import { createBinding, createMessage } from "../support/events.ts";
import { createRecordingLog } from "../support/recording-log.ts";

const aliases = "team: ann, zoe@far.example\ngone: :fail: has left\n";

function createParts(bindings: readonly Binding[], remote: "hold" | "mx" = "mx") {
  const { clock, book } = createCategorizing({ aliases, mailboxes: "ann\nbob\n" });
  const events = new Dispatcher({ log: createRecordingLog(), clock, scripts: noScripts, rehearsal: true });
  const table = {
    localDomains: new Set(["example.test"]),
    routes: compileRoutes([
      { match: "drop.example", to: "drop" },
      { match: "lmtp.example", to: "lmtp://127.0.0.1:24" },
    ]),
    local: { kind: "maildir" },
    smarthost: false,
    remote,
  } as const;
  const router = new Router({
    events: { ask: () => Promise.reject(new Error("not asked")), bindingsOf: () => [] },
    table,
  });
  events.replaceBindings([
    ...bindings,
    ...serverBindings([
      { sink: categorizer(book), events: ["onCategorize"] },
      { sink: router.sink(), events: ["onRoute"] },
      { sink: localDelivery, events: ["onLocalDelivery"] },
    ]),
  ]);
  return { events, own: { router, book }, clock };
}

async function attempt(to: readonly string[], bindings: readonly Binding[] = [], remote?: "hold" | "mx") {
  const message = createMessage("Subject: Hi\n\nbody\n", { to });
  return (await rehearseAttempt(createParts(bindings, remote), message)).map(describeDestination);
}

const at = (user: string, verdict: () => unknown) => (subject: unknown) =>
  (subject as CategorizeSubject).forwardPath.localPart === user ? verdict() : undefined;

describe("rehearseAttempt", () => {
  test.each<[string, readonly string[], readonly Binding[], readonly string[]]>([
    ["a mailbox", ["bob@example.test"], [], ["bob@example.test would be delivered to maildir by local domain"]],
    [
      "a mailbox under another name",
      ["bob+x@example.test"],
      [],
      ["bob+x@example.test would be delivered to maildir by local domain: mailbox of bob@example.test"],
    ],
    [
      "a list, those it stands for",
      ["team@example.test"],
      [],
      [
        "ann@example.test would be delivered to maildir by local domain",
        "zoe@far.example would be sent to mx:far.example by delivery.remote",
      ],
    ],
    [
      "nobody, beside somebody",
      ["gone@example.test", "ann@example.test"],
      [],
      [
        "ann@example.test would be delivered to maildir by local domain",
        "gone@example.test would fail: 550 5.1.1 has left",
      ],
    ],
    [
      "the drop folder and LMTP",
      ["a@drop.example", "b@lmtp.example"],
      [],
      [
        "a@drop.example would be delivered to drop by route 1",
        "b@lmtp.example would be sent to lmtp://127.0.0.1:24 by route 2",
      ],
    ],
    [
      "a sink that drops one and keeps one in badmail",
      ["ann@example.test", "bob@example.test", "x@far.example"],
      [
        createBinding(
          "onCategorize",
          at("ann", () => discard("a robot")),
          { id: "c1", priority: 1 },
        ),
        createBinding(
          "onCategorize",
          at("bob", () => quarantine("odd")),
          { id: "c2", priority: 2 },
        ),
      ],
      [
        "ann@example.test would be discarded by c1: a robot",
        "bob@example.test would be quarantined by c2: odd",
        "x@far.example would be sent to mx:far.example by delivery.remote",
      ],
    ],
    [
      "a sink that defers one: all of the message",
      ["ann@example.test", "bob@example.test"],
      [
        createBinding(
          "onCategorize",
          at("bob", () => defer("Later")),
          { id: "c" },
        ),
      ],
      [
        "ann@example.test would be deferred by c: 451 4.7.1 Later",
        "bob@example.test would be deferred by c: 451 4.7.1 Later",
      ],
    ],
    [
      "a sink that refuses all",
      ["ann@example.test"],
      [createBinding("onPreCategorize", () => refuse("No"), { id: "p" })],
      ["ann@example.test would fail by p: 550 5.7.1 No"],
    ],
    [
      "a sink that drops all",
      ["ann@example.test"],
      [createBinding("onPostCategorize", () => discard("seen"), { id: "p" })],
      ["ann@example.test would be discarded by p: seen"],
    ],
    [
      "a sink of onArrival behind the reply",
      ["ann@example.test"],
      [createBinding("onArrival", () => quarantine("spam"), { id: "q", phase: "queue" })],
      ["ann@example.test would be quarantined by q: spam"],
    ],
    [
      "a router's choice",
      ["ann@example.test", "x@far.example"],
      [
        createBinding(
          "onRoute",
          ({ domain, to }: RouteSubject) => (domain === "far.example" ? to("smtp://relay.example") : undefined),
          { id: "r", priority: 1 },
        ),
      ],
      [
        "ann@example.test would be delivered to maildir by local domain",
        "x@far.example would be sent to smtp://relay.example:25 by r",
      ],
    ],
    [
      "a router's refusal",
      ["x@far.example"],
      [createBinding("onRoute", () => refuse("Not there"), { id: "r", priority: 1 })],
      ["x@far.example would fail: refused by r: 550 5.7.1 Not there"],
    ],
    [
      "a folder, and a recipient whom a sink serves itself",
      ["ann@example.test", "bob@example.test"],
      [
        createBinding(
          "onLocalDelivery",
          ({ forwardPath, fileInto, consume }: LocalDeliverySubject) =>
            forwardPath.localPart === "ann" ? fileInto("Junk") : consume("kept by the test"),
          { id: "l", priority: 1 },
        ),
      ],
      [
        "ann@example.test would be delivered to maildir by local domain: folder Junk",
        "bob@example.test would be delivered to maildir by local domain: kept by the test",
      ],
    ],
  ])("tells of %s", async (_why, to, bindings, expected) => {
    expect(await attempt(to, bindings)).toEqual(expected);
  });

  test("tells why mail would be held", async () => {
    expect(await attempt(["x@far.example"], [], "hold")).toEqual([
      "x@far.example would be held by delivery.remote: no smarthost is configured",
    ]);
  });
});

test("rehearseRoute asks the rehearsal's sinks, and looks no host up", async () => {
  const toRelay = createBinding("onRoute", ({ to }: RouteSubject) => to("smtp://relay.example"), {
    id: "r",
    priority: 1,
  });
  const found = await rehearseRoute(createParts([toRelay]), { localPart: "x", domain: "far.example" });
  expect(found).toMatchObject({ error: null, route: { hop: "smtp://relay.example:25", by: "r" } });
  expect(found.route).not.toHaveProperty("targets");
});
