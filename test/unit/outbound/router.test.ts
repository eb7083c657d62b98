import { describe, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { AskHandler } from "../../../src/events/sink.ts";
import { defer, refuse } from "../../../src/events/verdict.ts";
import type { RecipientOptions } from "../../../src/mail/envelope.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { formatNextHop, parseNextHop } from "../../../src/mail/next-hop.ts";
import {
  compileRoutes,
  type Routed,
  type RouteRefusal,
  Router,
  type RouteTable,
} from "../../../src/outbound/router.ts";
import { serverBindings } from "../../../src/sinks/load-sinks.ts";
import type { StoredRecipient } from "../../../src/spool/spool.ts";
import { noScripts } from "../../support/categorizing.ts";
import { createBinding } from "../../support/events.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { faultOf } from "../../support/fault-of.ts";
import { createRecordingLog } from "../../support/recording-log.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const routes = compileRoutes([
  { match: "partner.example", to: "smtp://relay.partner.example:2525" },
  { match: "*.partner.example", to: "mx" },
  { match: "boss@example.test", to: "lmtp:/run/lmtp" },
  { match: "held.example", to: "hold:until Monday" },
  { match: "app@*", to: "https://app.example/mail" },
]);
const table: RouteTable = {
  localDomains: new Set(["example.test"]),
  routes,
  local: { kind: "maildir" },
  smarthost: false,
  remote: "mx",
};

function createRouter(changes: Partial<RouteTable> = {}, bindings: readonly Binding[] = []) {
  const log = createRecordingLog();
  const events = new Dispatcher({ log, clock: createFakeClock(), scripts: noScripts });
  const router = new Router({ events, table: { ...table, ...changes } });
  events.replaceBindings([...bindings, ...serverBindings([{ sink: router.sink(), events: ["onRoute"] }])]);
  return { router, events, log };
}

const stored = (address: string, index = 0, options?: RecipientOptions): StoredRecipient => ({
  index,
  mailbox: parseMailbox(address),
  ...(options && { options }),
  state: "queued",
  attempts: 0,
  nextAttemptAt: 0,
  lastOutcome: "",
});

function work(addresses: readonly string[], message: Message = createSampleMessage({ to: addresses })) {
  return {
    message,
    recipients: addresses.map((address, index) => stored(address, index)),
    attemptId: "ATTEMPT000000001",
  };
}

function describeRouted(results: readonly (Routed | RouteRefusal)[]): string[] {
  return results.map((result) => {
    const to = result.recipients.map(({ mailbox }) => formatMailbox(mailbox)).join(" ");
    if ("hop" in result) return `${to} > ${formatNextHop(result.hop)} (${result.by})`;
    const { kind, reply, reason } = result.outcome;
    return `${to} ${kind} ${reply?.code} ${reason}`;
  });
}

describe("Router.choose and laneOf", () => {
  test.each([
    ["a local domain", "ann@example.test", {}, "maildir", "local domain", "local"],
    [
      "a local domain by LMTP",
      "ann@example.test",
      { local: parseNextHop("lmtp://127.0.0.1") },
      "lmtp://127.0.0.1:24",
      "local domain",
      "lmtp://127.0.0.1:24",
    ],
    ["the drop folder", "ann@example.test", { local: parseNextHop("drop") }, "drop", "local domain", "local"],
    [
      "a route by domain",
      "x@partner.example",
      {},
      "smtp://relay.partner.example:2525",
      "route 1",
      "smtp://relay.partner.example:2525",
    ],
    [
      "a route by what is below a domain",
      "x@a.partner.example",
      {},
      "mx:a.partner.example",
      "route 2",
      "mx:a.partner.example",
    ],
    ["a route before the local domain", "Boss@example.test", {}, "lmtp:/run/lmtp", "route 3", "lmtp:/run/lmtp"],
    ["a route that holds", "x@held.example", {}, "hold:until Monday", "route 4", "hold"],
    ["a route by local part", "app@any.example", {}, "https://app.example/mail", "route 5", "https://app.example/mail"],
    [
      "the first route that matches",
      "app@partner.example",
      {},
      "smtp://relay.partner.example:2525",
      "route 1",
      "smtp://relay.partner.example:2525",
    ],
    ["the smarthost before MX", "x@far.example", { smarthost: true }, "smarthost", "smarthost", "smarthost"],
    ["MX", "x@far.example", {}, "mx:far.example", "delivery.remote", "mx:far.example"],
    ["an address literal", "x@[192.0.2.1]", {}, "mx:[192.0.2.1]", "delivery.remote", "mx:[192.0.2.1]"],
    ["nobody", "x@far.example", { remote: "hold" }, "hold:no smarthost is configured", "delivery.remote", "hold"],
    [
      "all by one route",
      "x@far.example",
      { routes: compileRoutes([{ match: "*", to: "smarthost" }]) },
      "smarthost",
      "route 1",
      "smarthost",
    ],
  ] as const)("%s: %s", (_why, address, changes, hop, by, lane) => {
    const { router } = createRouter(changes as Partial<RouteTable>);
    const choice = router.choose(stored(address));
    expect([formatNextHop(choice.hop), choice.by]).toEqual([hop, by]);
    expect(router.laneOf(stored(address))).toBe(lane);
  });

  test("what a sink chose for the recipient goes before every route", () => {
    const { router } = createRouter();
    const { hop } = router.choose(stored("x@partner.example", 0, { route: "mx" }));
    expect(hop).toEqual({ kind: "mx", domain: "partner.example" });
    expect(router.laneOf(stored("ann@example.test", 0, { route: "smarthost" }))).toBe("smarthost");
  });

  test("a stored choice that cannot be read any more is held, not lost", () => {
    const { hop } = createRouter().router.choose(stored("x@far.example", 0, { route: "carrier pigeon" }));
    expect(hop).toMatchObject({ kind: "hold", reason: expect.stringContaining("carrier pigeon") });
  });

  test("another table holds from then on", () => {
    const { router } = createRouter();
    expect(router.laneOf(stored("x@far.example"))).toBe("mx:far.example");
    router.replaceTable({ ...table, smarthost: true });
    expect(router.laneOf(stored("x@far.example"))).toBe("smarthost");
  });
});

describe("compileRoutes", () => {
  test.each([
    ["no pattern", { match: "a*b@x.example", to: "mx" }, "config.invalid", /^routes\[0\]\.match: /],
    ["no domain", { match: "-", to: "mx" }, "config.invalid", /^routes\[0\]\.match: /],
    ["no next hop", { match: "x.example", to: "nowhere" }, "next-hop.syntax", /nowhere/],
  ])("refuses %s", (_why, route, code, message) => {
    const fault = faultOf(() => compileRoutes([route]));
    expect(fault.code).toBe(code);
    expect(fault.message).toMatch(message);
  });
});

describe("Router.route", () => {
  const bind = (handler: AskHandler<"onRoute">, options: Partial<Binding> = {}) =>
    createBinding("onRoute", handler, options);

  test("groups by next hop in the order of the recipients, without a promise where no sink is bound", () => {
    const { router } = createRouter({ smarthost: true });
    const given = router.route(work(["ann@example.test", "x@far.example", "bob@example.test", "y@other.example"]));
    expect(given).toBeInstanceOf(Array);
    expect(describeRouted(given as readonly Routed[])).toEqual([
      "ann@example.test bob@example.test > maildir (local domain)",
      "x@far.example y@other.example > smarthost (smarthost)",
    ]);
  });

  test("asks once for each domain, and the table fills in where nobody has chosen", async () => {
    const asked: string[] = [];
    const { router } = createRouter({}, [
      bind(
        ({ domain, recipients, nextHop, to, attemptId }) => {
          asked.push(`${domain} ${recipients.length} ${nextHop} ${attemptId}`);
          if (domain === "far.example") to("smtp://[2001:db8::1]");
          if (domain === "own.example") to("mx");
        },
        { id: "sinks/chooser" },
      ),
    ]);
    const given = await router.route(
      work(["a@far.example", "b@far.example", "ann@example.test", "c@own.example", "d@else.example"]),
    );
    expect(asked).toEqual(
      ["far.example 2", "example.test 1", "own.example 1", "else.example 1"].map(
        (one) => `${one} null ATTEMPT000000001`,
      ),
    );
    expect(describeRouted(given)).toEqual([
      "a@far.example b@far.example > smtp://[2001:db8::1]:25 (sinks/chooser)",
      "ann@example.test > maildir (local domain)",
      "c@own.example > mx:own.example (sinks/chooser)",
      "d@else.example > mx:else.example (delivery.remote)",
    ]);
  });

  test("asks apart for recipients of one domain that the table sends two ways", async () => {
    const { router } = createRouter({}, [bind(() => {})]);
    expect(
      describeRouted(await router.route(work(["ann@example.test", "boss@example.test", "bob@example.test"]))),
    ).toEqual([
      "ann@example.test bob@example.test > maildir (local domain)",
      "boss@example.test > lmtp:/run/lmtp (route 3)",
    ]);
  });

  test("routers chain: each sees what those before it chose, the server's own too", async () => {
    const seen: (string | null)[] = [];
    const note: AskHandler<"onRoute"> = ({ nextHop }) => void seen.push(nextHop && formatNextHop(nextHop));
    const { router } = createRouter({}, [
      bind(note, { priority: 1 }),
      bind(({ to }) => to({ kind: "smarthost" }), { priority: 2 }),
      bind(note, { priority: 3 }),
      bind(
        ({ nextHop, to }) => {
          if (nextHop?.kind === "smarthost") to("hold:stopped");
        },
        { priority: 30_000, id: "sinks/late" },
      ),
    ]);
    expect(describeRouted(await router.route(work(["x@far.example"])))).toEqual([
      "x@far.example > hold:stopped (sinks/late)",
    ]);
    expect(seen).toEqual([null, "smarthost"]);
    const behind = createRouter({}, [bind(note, { priority: 30_000 })]);
    await behind.router.route(work(["x@far.example"]));
    expect(seen.at(-1)).toBe("mx:far.example");
  });

  test("sinks are not asked about whom one has chosen for already", async () => {
    const { router } = createRouter({}, [bind(() => refuse("No"))]);
    const recipients = [stored("x@far.example", 0, { route: "smarthost" })];
    const given = await router.route({ ...work(["x@far.example"]), recipients });
    expect(describeRouted(given)).toEqual(["x@far.example > smarthost (the recipient's own route)"]);
  });

  test.each([
    ["refuse", () => refuse("No way", { status: "5.7.1" }), "x@far.example failed 550 refused by sinks/no"],
    ["defer", () => defer("Later"), "x@far.example deferred 451 deferred by sinks/no"],
  ] as const)("%s is for the recipients it was asked about", async (_why, verdict, expected) => {
    const no = bind(({ domain }) => (domain === "far.example" ? verdict() : undefined), { id: "sinks/no" });
    const given = await createRouter({}, [no]).router.route(work(["x@far.example", "ann@example.test"]));
    expect(describeRouted(given)).toEqual(["ann@example.test > maildir (local domain)", expected]);
  });

  test("a next hop that is none is the sink's fault, and what it chose before is undone", async () => {
    const { router, events } = createRouter({}, [
      bind(
        ({ to }) => {
          to("smarthost");
          to("nowhere");
        },
        { id: "sinks/bad", onFault: "proceed" },
      ),
    ]);
    expect(describeRouted(await router.route(work(["x@far.example"])))).toEqual([
      "x@far.example > mx:far.example (delivery.remote)",
    ]);
    expect(events.healthOf("sinks/bad").lastFault?.code).toBe("next-hop.syntax");
  });

  test("what a sink does to the message reaches nothing, and later it cannot", async () => {
    let late: Message | undefined;
    const { router } = createRouter({}, [
      bind(({ message }) => {
        late = message;
        message.header = message.header.add("X-Tag", "1");
      }),
    ]);
    const todo = work(["x@far.example"]);
    await router.route(todo);
    expect(todo.message.header.has("X-Tag")).toBe(false);
    expect(() => {
      late!.notes = {};
    }).toThrow(expect.objectContaining({ code: "message.revoked" }));
  });
});
