import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { refuse } from "../../../src/events/verdict.ts";
import type { Notify, RecipientOptions } from "../../../src/mail/envelope.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { componentsOf } from "../../../src/queue/categorize-circles.ts";
import type { Categorized } from "../../../src/queue/ports.ts";
import {
  type CategorizingSite,
  createCategorizing,
  describeCategorized,
  expansion,
} from "../../support/categorizing.ts";
import { createBinding } from "../../support/events.ts";
import { createSampleMessage, type SampleMessage } from "../../support/sample-message.ts";

const from = "ada@sender.example";

async function categorized(site: CategorizingSite, sample: SampleMessage): Promise<Categorized> {
  return await createCategorizing(site).categorize(createSampleMessage({ from, ...sample }));
}

type Changed = Extract<Categorized, { readonly kind: "changed" }>;

async function changed(site: CategorizingSite, sample: SampleMessage): Promise<Changed> {
  const result = await categorized(site, sample);
  if (result.kind !== "changed") throw new Error(`it is ${result.kind}`);
  return result;
}

const optionsOf = ({ envelope }: Message) => envelope.recipients.map(({ options }) => options);

describe("createCategorizer: aliases", () => {
  const aliases = `
sales: ann, bob@other.example
boss: ann
forward: ann@away.example
team: bob, carla, dora@far.example
owner-team: keeper
inner: dora
owner-inner: second
outer: bob, inner
owner-outer: first
self: self, bob
selfaway: selfaway, bob@other.example
me: me
circle-a: circle-b
circle-b: circle-a
ann-b: bob-b
bob-b: ann-b
mixed: bob, circle-a
fed: circle-a, fed
dead: nemo@example.test
gone: :fail: has left
@nowhere.example: ann
`;
  const mailboxes = "ann\nbob\ncarla\ndora\nself\nselfaway\nme\nkeeper\nann-b\nbob-b\nfirst\nsecond\nfed\n";

  test.each([
    ["a mailbox", ["ann@example.test"], ["unchanged"]],
    ["mailboxes and others", ["ann@example.test", "x@remote.example", "bob+d@example.test"], ["unchanged"]],
    ["the same twice", ["ann@example.test", "ANN@example.test"], [`${from}: ann@example.test`]],
    ["an alias for one", ["boss@example.test"], [`${from}: ann@example.test`]],
    ["one that is there already", ["ann@example.test", "boss@example.test"], [`${from}: ann@example.test`]],
    ["one that comes behind", ["boss@example.test", "ann@example.test"], [`${from}: ann@example.test`]],
    [
      "an alias for several, one of them away",
      ["sales@example.test"],
      [`${from}: ann@example.test`, `${from}: bob@other.example`],
    ],
    ["a forward alone", ["forward@example.test"], [`${from}: ann@away.example`]],
    [
      "a list with an owner",
      ["team@example.test"],
      ["owner-team@example.test: bob@example.test, carla@example.test", "owner-team@example.test: dora@far.example"],
    ],
    [
      "a list with an owner, and others",
      ["team@example.test", "ann@example.test", "carla@example.test"],
      [
        `${from}: ann@example.test, carla@example.test`,
        "owner-team@example.test: bob@example.test",
        "owner-team@example.test: dora@far.example",
      ],
    ],
    [
      "a list in a list: each has its owner",
      ["outer@example.test"],
      ["owner-outer@example.test: bob@example.test", "owner-inner@example.test: dora@example.test"],
    ],
    ["one who names himself", ["self@example.test"], [`${from}: self@example.test, bob@example.test`]],
    [
      "one who keeps a copy",
      ["selfaway@example.test"],
      [`${from}: selfaway@example.test`, `${from}: bob@other.example`],
    ],
    ["one who names only himself", ["me@example.test"], ["unchanged"]],
    [
      "a circle of nobody",
      ["circle-a@example.test"],
      [`${from}: `, /^failed circle-a@example.test: 554 5.4.6 .*back to itself/],
    ],
    ["a circle of mailboxes", ["ann-b@example.test"], [`${from}: ann-b@example.test, bob-b@example.test`]],
    [
      "a circle of nobody among members",
      ["mixed@example.test"],
      [`${from}: bob@example.test`, /^failed circle-a@example.test: 554 5.4.6/],
    ],
    [
      "a member that leads to a circle, and names himself",
      ["fed@example.test"],
      [`${from}: fed@example.test`, /^failed circle-a@example.test: 554 5.4.6/],
    ],
    [
      "a member that is nobody",
      ["dead@example.test"],
      [`${from}: `, "failed nemo@example.test: 550 5.1.1 No such mailbox here"],
    ],
    ["nobody", ["nemo@example.test"], [`${from}: `, "failed nemo@example.test: 550 5.1.1 No such mailbox here"]],
    [
      "one who left",
      ["gone@example.test", "ann@example.test"],
      [`${from}: ann@example.test`, "failed gone@example.test: 550 5.1.1 has left"],
    ],
    ["a remote domain that is aliased", ["x@nowhere.example"], [`${from}: ann@example.test`]],
  ])("%s", async (_why, to, expected) => {
    const lines = describeCategorized(await categorized({ aliases, mailboxes }, { to }));
    expect(lines).toHaveLength(expected.length);
    for (const [at, line] of lines.entries()) expect(line).toMatch(expected[at]!);
  });

  test("the null reverse-path stays, whatever list it goes to", async () => {
    const result = await categorized({ aliases, mailboxes }, { from: null, to: ["team@example.test"] });
    expect(describeCategorized(result)).toEqual(["<>: bob@example.test, carla@example.test", "<>: dora@far.example"]);
  });

  test("a member that fails is told to the list's owner, by the message that keeps the id", async () => {
    const list = "team: bob, nemo\nowner-team: bob\n";
    const result = await changed(
      { aliases: list, mailboxes },
      { id: "01PARENT00000000", to: ["ann@example.test", "team@example.test"] },
    );
    expect(describeCategorized(result)).toEqual([
      "owner-team@example.test: bob@example.test",
      `${from}: ann@example.test`,
      "failed nemo@example.test: 550 5.1.1 No such mailbox here",
    ]);
    expect(result.message.id).toBe("01PARENT00000000");
    expect(result.failures).toMatchObject([{ index: 1, kind: "failed", status: "5.1.1" }]);
  });

  test("members of two lists that fail are told to the sender", async () => {
    const lists = "one: nemo\nowner-one: bob\ntwo: none\nowner-two: bob\n";
    const result = await changed({ aliases: lists, mailboxes }, { to: ["one@example.test", "two@example.test"] });
    expect(describeCategorized(result)[0]).toBe(`${from}: `);
    expect(result.failures.map(({ index }) => index)).toEqual([0, 1]);
  });

  test("forks are messages of their own: new ids, the parent's in a note, the same body, the same time", async () => {
    const parent = createSampleMessage({ from, to: ["sales@example.test"], notes: { kept: 1 } });
    const result = (await createCategorizing({ aliases, mailboxes }).categorize(parent)) as Changed;
    const [fork] = result.forks;
    expect(result.message).toMatchObject({ id: parent.id, notes: { kept: 1 }, receivedAt: parent.receivedAt });
    expect(fork!.id).not.toBe(parent.id);
    expect(fork).toMatchObject({
      notes: { kept: 1, parent: parent.id },
      receivedAt: parent.receivedAt,
      origin: parent.origin,
    });
    expect(fork!.body).toBe(parent.body);
    expect(fork!.sizeOctets).toBe(parent.sizeOctets + "Delivered-To: sales@example.test\r\n".length);
    expect(fork!.header.fields.slice(1)).toEqual(parent.header.fields);
  });

  test("a forward that comes back is not forwarded again", async () => {
    const first = await changed({ aliases, mailboxes }, { to: ["selfaway@example.test"] });
    expect(first.message.header.has("Delivered-To")).toBe(false);
    const [fork] = first.forks;
    const data = Buffer.concat([fork!.header.octets, Buffer.from("\r\nbody\r\n")]);
    const second = await categorized(
      { aliases, mailboxes },
      { to: ["selfaway@example.test", "ann@example.test"], data },
    );
    expect(describeCategorized(second)).toEqual([
      `${from}: ann@example.test`,
      expect.stringMatching(/^failed selfaway@example.test: 554 5.4.6 .*loops/),
    ]);
    const other = await categorized({ aliases, mailboxes }, { to: ["sales@example.test"], data });
    expect(describeCategorized(other)).toHaveLength(2);
  });
});

describe("createCategorizer: what the sender asked for", () => {
  const all: RecipientOptions = { notify: ["success", "failure"], route: "mx", folder: "Junk" };
  const original = { type: "rfc822", address: "list@example.test" };
  const given = { type: "rfc822", address: "before@elsewhere.example" };
  test.each([
    [
      "an alias for one passes it all on",
      "list: ann",
      all,
      [{ notify: ["success", "failure"], originalRecipient: original }],
    ],
    ["the client's ORCPT stays", "list: ann", { originalRecipient: given }, [{ originalRecipient: given }]],
    ["nothing asked: the address it was", "list: ann", undefined, [{ originalRecipient: original }]],
    [
      "an alias for several: SUCCESS ends",
      "list: ann, bob",
      all,
      Array(2).fill({ notify: ["failure"], originalRecipient: original }),
    ],
    [
      "SUCCESS alone leaves never",
      "list: ann, bob",
      { notify: ["success"] as Notify[] },
      Array(2).fill({ notify: ["never"], originalRecipient: original }),
    ],
    ["a list: all of it ends", "list: ann, bob\nowner-list: bob", all, [undefined, undefined]],
    [
      "who stays himself keeps it all",
      "list: list, bob",
      all,
      [all, { notify: ["failure"], originalRecipient: original }],
    ],
  ])("%s", async (_why, aliases, options, expected) => {
    const result = await changed({ aliases }, { to: ["list@example.test"], toOptions: [options] });
    expect(optionsOf(result.message)).toEqual(expected);
  });

  test.each([
    ["an alias for several: expanded", "list: ann, bob", all, ["expanded list"]],
    ["a list: it has arrived", "list: ann, bob\nowner-list: bob", all, ["arrived list"]],
    ["a list with one member too", "list: ann\nowner-list: bob", all, ["arrived list"]],
    ["nothing asked", "list: ann, bob", undefined, []],
    ["failures asked for alone", "list: ann, bob", { notify: ["failure"] as Notify[] }, []],
    ["an alias for one: its affair", "list: ann", all, []],
    ["an alias for one that stands for several", "list: inner\ninner: ann, bob", all, ["expanded inner"]],
    ["several, one of whom stands for several: once", "list: ann, inner\ninner: bob, carla", all, ["expanded list"]],
    ["a list in a list: once", "list: inner\nowner-list: o\ninner: ann\nowner-inner: o", all, ["arrived list"]],
    ["who is a recipient himself hears of that", "list: list, bob", all, []],
    ["a circle of nobody", "list: other, third\nother: list\nthird: list", all, []],
  ])("of SUCCESS at an expansion there is to tell: %s", async (_why, aliases, options, expected) => {
    const mailboxes = "ann\nbob\ncarla\no\n";
    const { expansions = [] } = await changed(
      { aliases, mailboxes },
      { to: ["list@example.test"], toOptions: [options] },
    );
    expect(
      expansions.map(({ isList, recipient }) => `${isList ? "arrived" : "expanded"} ${recipient.mailbox.localPart}`),
    ).toEqual(expected);
  });

  test.each([
    ["refused", refuse("no"), 0],
    ["nothing", undefined, 1],
  ])("where onPostCategorize says %s of all, the expansions told are %#", async (_why, verdict, told) => {
    const bindings = [createBinding("onPostCategorize", () => verdict)];
    const aliases = "list: ann, bob@away.example";
    const { expansions = [] } = await changed({ aliases, bindings }, { to: ["list@example.test"], toOptions: [all] });
    expect(expansions).toHaveLength(told);
  });

  test("what it asked of reports of the whole message ends at a list, the rest goes on", async () => {
    const { message } = await changed(
      { aliases: "list: ann\nowner-list: ann" },
      { to: ["list@example.test"], options: { ret: "FULL", envelopeId: "E", smtpUtf8: true, requireTls: true } },
    );
    expect(message.envelope.options).toEqual({ smtpUtf8: true, requireTls: true });
  });

  test("an address beyond ASCII is written as such", async () => {
    const { message } = await changed({ aliases: "käthe: ann" }, { to: ["käthe@example.test"] });
    expect(optionsOf(message)).toEqual([{ originalRecipient: { type: "utf-8", address: "käthe@example.test" } }]);
  });
});

describe("createCategorizer: bounds", () => {
  const resolving = (answer: (name: string) => readonly string[]) =>
    createBinding(
      "onCategorize",
      ({ forwardPath, resolve }: { forwardPath: { localPart: string }; resolve(one: unknown): void }) => {
        const to = answer(forwardPath.localPart);
        if (to.length > 0) resolve(expansion(...to.map((name) => parseMailbox(`${name}@example.test`))));
      },
    );
  const members = (count: number) => Array.from({ length: count }, (_, at) => `m${at}`);

  test.each([
    ["below", 9_999, false],
    ["at", 10_000, false],
    ["above", 10_001, true],
  ])("addresses %s the limit", async (_why, count, fails) => {
    const site = { bindings: [resolving((name) => (name === "all" ? members(count) : []))] };
    const result = await changed(site, { to: ["all@example.test", "x@example.test"] });
    if (!fails) return expect(result.message.envelope.recipients).toHaveLength(count + 1);
    expect(describeCategorized(result)).toEqual([
      `${from}: x@example.test`,
      "failed all@example.test: 554 5.2.4 The list has more than 10000 addresses",
    ]);
  });

  test("a list that is too large takes nothing from the next one", async () => {
    const site = {
      bindings: [resolving((name) => (name === "all" ? members(10_001) : name === "few" ? members(3) : []))],
    };
    const result = await categorized(site, { to: ["all@example.test", "few@example.test"] });
    expect(describeCategorized(result)).toEqual([
      `${from}: m0@example.test, m1@example.test, m2@example.test`,
      expect.stringMatching(/^failed all@example.test/),
    ]);
  });

  test.each([
    ["at", 10, `${from}: n10@example.test`],
    ["above", 11, `${from}: `],
  ])("a chain %s the limit of depth", async (_why, length, first) => {
    const next = (name: string) => (Number(name.slice(1)) < length ? [`n${Number(name.slice(1)) + 1}`] : []);
    const lines = describeCategorized(await categorized({ bindings: [resolving(next)] }, { to: ["n0@example.test"] }));
    expect(lines[0]).toBe(first);
    if (length === 11) expect(lines[1]).toMatch(/^failed n10@example.test: 554 5.4.6 .*more than 10 times/);
  });

  test("ends, loses nobody who is there, and names everybody once, whatever leads to whom", async () => {
    const names = Array.from({ length: 12 }, (_, at) => `a${at}`);
    const graph = fc.array(fc.array(fc.nat(11), { maxLength: 4 }), { minLength: 12, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(graph, fc.uniqueArray(fc.nat(11), { minLength: 1 }), async (links, starts) => {
        const aliases = links
          .map((targets, at) =>
            targets.length > 0 ? `a${at}: ${[...new Set(targets)].map((one) => `a${one}`).join(", ")}` : "",
          )
          .join("\n");
        const to = starts.map((at) => `${names[at]}@example.test`);
        const result = await categorized(
          { aliases, mailboxes: names.filter((_, at) => links[at]!.length === 0).join("\n") },
          { to },
        );
        if (result.kind !== "changed") return;
        const { message, failures } = result;
        const failed = new Set(failures.map(({ index }) => index));
        const found = message.envelope.recipients
          .filter((_, at) => !failed.has(at))
          .map(({ mailbox }) => mailbox.localPart);
        expect(new Set(found).size).toBe(found.length);
        // Everybody who can be reached and has a mailbox, or names himself, by a walk of its own.
        const reachable = new Set<number>();
        const walk = (at: number): void => {
          if (reachable.has(at)) return;
          reachable.add(at);
          for (const next of links[at]!) walk(next);
        };
        for (const at of starts) walk(at);
        const there = [...reachable].filter((at) => links[at]!.length === 0 || links[at]!.includes(at));
        expect([...found].sort()).toEqual(there.map((at) => `a${at}`).sort());
        // Nobody is silent: each recipient is reached, or leads to somebody who is, or is told.
        for (const at of starts) {
          const mine = new Set<number>();
          const collect = (one: number): void => {
            if (mine.has(one)) return;
            mine.add(one);
            for (const next of links[one]!) collect(next);
          };
          collect(at);
          const isTold = failures.some(
            ({ index }) => message.envelope.recipients[index]!.mailbox.localPart === `a${at}`,
          );
          expect(isTold).toBe(!there.some((one) => mine.has(one)));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("componentsOf", () => {
  test("puts together exactly those who lead to each other, behind whom they lead to", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(7), { maxLength: 3 }), { minLength: 8, maxLength: 8 }), (links) => {
        const nodes: { name: number; children: { name: number; children: never[] }[] }[] = links.map((_, name) => ({
          name,
          children: [],
        }));
        for (const [at, node] of nodes.entries())
          node.children = links[at]!.map((to) => nodes[to]!) as typeof node.children;
        const leads = (one: number, other: number) => {
          const seen = new Set<number>();
          const todo = [...links[one]!];
          for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
            if (next === other) return true;
            if (!seen.has(next)) todo.push(...links[next]!);
            seen.add(next);
          }
          return false;
        };
        const components = componentsOf(nodes);
        expect(components.flat()).toHaveLength(8);
        const place = new Map(components.flatMap((members, at) => members.map(({ name }) => [name, at] as const)));
        for (let one = 0; one < 8; one++)
          for (let other = 0; other < 8; other++) {
            if (one !== other) expect(place.get(one) === place.get(other)).toBe(leads(one, other) && leads(other, one));
            if (leads(one, other)) expect(place.get(one)!).toBeGreaterThanOrEqual(place.get(other)!);
          }
      }),
    );
  });

  test("does not run out of stack", () => {
    const nodes: { name: string; children: { name: string; children: never[] }[] }[] = [];
    for (let at = 0; at < 50_000; at++) {
      const before = nodes.at(-1);
      nodes.push({
        name: formatMailbox({ localPart: String(at), domain: "x" }),
        children: before ? [before as never] : [],
      });
    }
    expect(componentsOf([nodes.at(-1)!])).toHaveLength(50_000);
  });
});
