import { describe, expect, test } from "vitest";
import type { Binding } from "../../src/events/binding.ts";
import { refuse } from "../../src/events/verdict.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import { explainRoute, type RouteExplanation, type RouteTarget } from "../../src/main-route.ts";
import { Router } from "../../src/outbound/router.ts";
import { categorizer } from "../../src/sinks/categorizer.ts";
import { serverBindings } from "../../src/sinks/load-sinks.ts";
import { createCategorizing, expansion } from "../support/categorizing.ts";
import { createBinding } from "../support/events.ts";

const aliases = `
boss: ann
team: ann, bob+x, zoe@far.example, boss
owner-team: ann
gone: :fail: has left
a: b
b: a
`;

function explain(
  address: string,
  {
    bindings = [],
    targetsOf,
  }: { bindings?: readonly Binding[]; targetsOf?: () => Promise<readonly RouteTarget[]> } = {},
): Promise<RouteExplanation> {
  const { events, book, clock } = createCategorizing({ aliases, mailboxes: "ann\nbob\n" });
  const table = {
    localDomains: new Set(["example.test"]),
    routes: [],
    local: { kind: "maildir" },
    smarthost: false,
    remote: "mx",
  } as const;
  const router = new Router({ events, table });
  events.replaceBindings([
    ...bindings,
    ...serverBindings([
      { sink: categorizer(book), events: ["onCategorize"] },
      { sink: router.sink(), events: ["onRoute"] },
    ]),
  ]);
  return explainRoute({ events, router, book, clock, ...(targetsOf && { targetsOf }) }, parseMailbox(address));
}

/** The tree in short, a line for each address. */
function tree({ address, resolution, expandedTo, route, error }: RouteExplanation, depth = 0): string[] {
  const words = resolution.map(({ by, words }) => `${by}: ${words}`).join("; ");
  const way = route ? ` > ${route.hop} (${route.by}; ${route.destination})` : "";
  const line = `${"  ".repeat(depth)}${address} [${words}]${way}${error === null ? "" : ` ! ${error}`}`;
  return [line, ...expandedTo.flatMap((one) => tree(one, depth + 1))];
}

describe("explainRoute", () => {
  test.each([
    [
      "a mailbox",
      "ann@example.test",
      ["ann@example.test [mailboxes: resolve as local] > maildir (local domain; local)"],
    ],
    [
      "a detail",
      "ann+news@example.test",
      [
        "ann+news@example.test [mailboxes: resolve as local; domains.plus: in the mailbox of ann@example.test] > maildir (local domain; local)",
      ],
    ],
    [
      "an alias",
      "boss@example.test",
      [
        "boss@example.test [aliases line 2: expand to ann@example.test]",
        "  ann@example.test [mailboxes: resolve as local] > maildir (local domain; local)",
      ],
    ],
    [
      "a list",
      "team@example.test",
      [
        "team@example.test [aliases line 3: expand to ann@example.test, bob+x@example.test, zoe@far.example, boss@example.test, owned by owner-team@example.test]",
        "  ann@example.test [mailboxes: resolve as local] > maildir (local domain; local)",
        "  bob+x@example.test [mailboxes: resolve as local; domains.plus: in the mailbox of bob@example.test] > maildir (local domain; local)",
        "  zoe@far.example [no local domain: resolve as relay] > mx:far.example (delivery.remote; mx:far.example)",
        "  boss@example.test [aliases line 2: expand to ann@example.test]",
        "    ann@example.test [onarrival: stands in this tree already, and gets one copy]",
      ],
    ],
    [
      "nobody",
      "nemo@example.test",
      ["nemo@example.test [mailboxes: resolve as unknown] ! 550 5.1.1 No such mailbox here"],
    ],
    [
      "one who left",
      "gone@example.test",
      ["gone@example.test [aliases line 5: resolve as unknown] ! 550 5.1.1 has left"],
    ],
    [
      "a circle",
      "a@example.test",
      [
        "a@example.test [aliases line 6: expand to b@example.test; mailboxes: leads back to itself; mailboxes: resolve as unknown] ! 554 5.4.6 The address leads back to itself and to nobody else",
        "  b@example.test [aliases line 7: expand to a@example.test; mailboxes: leads back to itself; mailboxes: resolve as unknown] ! 554 5.4.6 The address leads back to itself and to nobody else",
        "    a@example.test [onarrival: stands in this tree already, and gets one copy]",
      ],
    ],
  ])("%s", async (_why, address, expected) => {
    expect(tree(await explain(address))).toEqual(expected);
  });

  test("says which sink decided, and that one who names himself stays", async () => {
    const mine = createBinding(
      "onCategorize",
      ({ forwardPath, resolve }: { forwardPath: { localPart: string }; resolve(one: unknown): void }) => {
        if (forwardPath.localPart === "ann")
          resolve(expansion(parseMailbox("ann@example.test"), parseMailbox("x@far.example")));
      },
      { id: "sinks/mine" },
    );
    expect(tree(await explain("ann@example.test", { bindings: [mine] }))).toEqual([
      "ann@example.test [sinks/mine: expand to ann@example.test, x@far.example; onarrival: stays itself, too] > maildir (local domain; local)",
      "  x@far.example [no local domain: resolve as relay] > mx:far.example (delivery.remote; mx:far.example)",
    ]);
  });

  test.each(["onCategorize", "onRoute"] as const)("tells a refusal at %s", async (event) => {
    const no = createBinding(event, () => refuse("No"), { id: "sinks/no" });
    const { route, error } = await explain("ann@example.test", { bindings: [no] });
    expect(route).toBeNull();
    expect(error).toMatch(/550 5.7.1 No/);
    expect(error).toContain("sinks/no");
  });

  test("has the servers of a next hop that is far, and why there are none", async () => {
    const target = { host: "mx.far.example", addresses: ["192.0.2.1"], tls: "opportunistic" };
    const found = await explain("x@far.example", { targetsOf: async () => [target] });
    expect(found.route?.targets).toEqual([target]);
    const failed = await explain("x@far.example", { targetsOf: () => Promise.reject(new Error("no answer")) });
    expect([failed.error, failed.route?.hop]).toEqual(["no answer", "mx:far.example"]);
    const near = await explain("ann@example.test", { targetsOf: () => Promise.reject(new Error("must not be asked")) });
    expect(near.error).toBeNull();
  });
});
