import { describe, expect, test } from "vitest";
import { refuse } from "../../../src/events/verdict.ts";
import { parseNextHop } from "../../../src/mail/next-hop.ts";
import { createDelivery, type DeliveryOptions } from "../../../src/outbound/deliver.ts";
import { compileRoutes, Router, type RouteTable } from "../../../src/outbound/router.ts";
import type { Outcome } from "../../../src/queue/attempt.ts";
import type { StoredRecipient } from "../../../src/spool/spool.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { deferred, eventsWith, recipientsOf } from "./smtp-setup.ts";

const table: RouteTable = {
  localDomains: new Set(["example.test"]),
  routes: compileRoutes([
    { match: "*@app.example", to: "https://app.example/mail" },
    { match: "*@drop.example", to: "drop" },
    { match: "*@mailboxes.example", to: "lmtp://127.0.0.1:24" },
    { match: "*@relay.example", to: "smtp://relay.example:2525" },
    { match: "*@smarthost.example", to: "smarthost" },
    { match: "*@held.example", to: "hold:until Monday" },
  ]),
  local: { kind: "maildir" },
  smarthost: false,
  remote: "mx",
};

type Leg = Parameters<DeliveryOptions["local"]["deliver"]>[0] | Parameters<DeliveryOptions["remote"]["deliver"]>[0];

/** A way that takes everything, and keeps what it was given. */
function way(name: string, legs: string[]) {
  return {
    async deliver({ hop, recipients, attemptId }: Leg): Promise<Outcome[]> {
      legs.push(`${name} ${hop.kind} ${attemptId}: ${recipients.map(({ mailbox }) => mailbox.localPart).join(" ")}`);
      return recipients.map(({ index }) => ({ index, kind: "delivered", nextHop: name, reply: null, reason: "" }));
    },
  };
}

function create(options: Partial<DeliveryOptions> = {}, handlers: Parameters<typeof eventsWith>[0] = {}) {
  const legs: string[] = [];
  const router = new Router({ events: eventsWith(handlers, { id: "sinks/one" }), table });
  const delivery = createDelivery({ router, remote: way("remote", legs), local: way("local", legs), ...options });
  return { delivery, legs };
}

function sorted(items: readonly Outcome[]): Outcome[] {
  return [...items].sort((one, other) => one.index - other.index);
}

function workFor(...to: string[]) {
  const message = createSampleMessage({ to });
  return { message, attemptId: "A1", recipients: recipientsOf(message) };
}

describe("createDelivery", () => {
  test("each recipient goes by its own way, and each gets an outcome", async () => {
    const { delivery, legs } = create();
    const work = workFor(
      ...["a@example.test", "b@far.example", "c@example.test", "d@relay.example", "e@app.example", "f@held.example"],
      ...["g@drop.example", "h@mailboxes.example", "i@smarthost.example", "j@far.example"],
    );
    const outcomes = sorted(await delivery.deliver(work));
    expect(legs.sort()).toEqual([
      "local drop A1: g",
      "local http A1: e",
      "local lmtp A1: h",
      "local maildir A1: a c",
      "remote mx A1: b j",
      "remote smarthost A1: i",
      "remote smtp A1: d",
    ]);
    expect(outcomes.map(({ index }) => index)).toEqual(work.recipients.map(({ index }) => index));
    expect(outcomes[5]).toEqual({ index: 5, kind: "held", nextHop: "", reply: null, reason: "until Monday" });
    expect(outcomes.filter(({ kind }) => kind === "delivered")).toHaveLength(9);
  });

  test("only the recipients of this attempt are served", async () => {
    const { delivery, legs } = create();
    const work = workFor("a@example.test", "b@example.test");
    await delivery.deliver({ ...work, recipients: work.recipients.slice(1) });
    expect(legs).toEqual(["local maildir A1: b"]);
  });

  test("who is refused at onRoute fails with the reply, the others are served", async () => {
    const { delivery, legs } = create(
      {},
      { onRoute: ({ domain }) => (domain === "far.example" ? refuse("No way there", { status: "5.4.4" }) : undefined) },
    );
    const outcomes = await delivery.deliver(workFor("a@example.test", "b@far.example"));
    expect(sorted(outcomes)).toMatchObject([
      { index: 0, kind: "delivered" },
      { index: 1, kind: "failed", nextHop: "", status: "5.4.4", reply: { code: 550, text: "No way there" } },
    ]);
    expect(legs).toEqual(["local maildir A1: a"]);
  });

  test("the next hop a sink chose is the way", async () => {
    const { delivery, legs } = create({}, { onRoute: ({ to }) => to(parseNextHop("drop")) });
    await delivery.deliver(workFor("a@example.test", "b@far.example"));
    expect(legs).toEqual(["local drop A1: a b"]);
  });

  test("a way that breaks defers its own recipients alone", async () => {
    const remote = { deliver: () => Promise.reject(new Error("a bug")) };
    const { delivery } = create({ remote });
    expect(sorted(await delivery.deliver(workFor("a@example.test", "b@far.example")))).toMatchObject([
      { index: 0, kind: "delivered" },
      { index: 1, kind: "deferred", nextHop: "mx:far.example", reason: "cannot deliver: a bug", status: "4.3.0" },
    ]);
  });

  test("the ways go side by side, and each hears that the attempt's time is over", async () => {
    const gate = deferred();
    const signals: (AbortSignal | undefined)[] = [];
    const slow = {
      async deliver({ recipients, signal }: { recipients: readonly StoredRecipient[]; signal?: AbortSignal }) {
        signals.push(signal);
        if (signals.length === 2) gate.resolve();
        await gate.promise;
        return recipients.map(
          ({ index }): Outcome => ({ index, kind: "delivered", nextHop: "", reply: null, reason: "" }),
        );
      },
    };
    const { delivery } = create({ remote: slow, local: slow });
    const { signal } = new AbortController();
    await delivery.deliver({ ...workFor("a@example.test", "b@far.example"), signal });
    expect(signals).toEqual([signal, signal]);
  });

  const lanes = [
    { to: "a@example.test", lane: "local" },
    { to: "a@far.example", lane: "mx:far.example" },
    { to: "a@held.example", lane: "hold" },
  ];
  test.each(lanes)("laneOf: $to waits in $lane", ({ to, lane }) => {
    expect(create().delivery.laneOf(workFor(to).recipients[0]!)).toBe(lane);
  });
});
