/** Messages that sinks make of one in hand: in custody with it, or not at all. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { discard, quarantine, refuse } from "../../../src/events/verdict.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createEntrance, type TestEntrance } from "../../support/entrance.ts";
import { createBinding } from "../../support/events.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

let site: TestEntrance;
let told: string[];
const make = (verdict?: unknown) =>
  createBinding("onArrival", ({ message }: { readonly message: Message }) => {
    const made = createSampleMessage({ id: "MADE000000000000", from: null, to: ["ann@example.org"] });
    message.submissions = [...message.submissions, { message: made, taken: () => void told.push(made.id) }];
    return verdict;
  });
const submit = () =>
  site.entrance.submit({
    origin: "submit",
    id: "CAME000000000000",
    envelope: { reversePath: null, recipients: [{ mailbox: parseMailbox("bob@example.test") }] },
    octets: Buffer.from("Subject: x\n\nbody\n"),
  });
const inSpool = async () => (await site.spool.list()).map(({ messageId }) => messageId).toSorted();

beforeEach(() => {
  site = createEntrance();
  told = [];
});
afterEach(() => site.close());

describe("Custody", () => {
  test.each<[string, unknown, readonly string[]]>([
    ["accepted with it", undefined, ["CAME000000000000", "MADE000000000000"]],
    ["not made of what is refused", refuse("no"), []],
    ["accepted where itself is dropped", discard("no use"), ["MADE000000000000"]],
    ["accepted where badmail has it", quarantine("odd"), ["MADE000000000000"]],
  ])("takes what sinks made: %s", async (_why, verdict, expected) => {
    site.dispatcher.replaceBindings([make(verdict)]);
    await submit();
    expect(await inSpool()).toEqual(expected);
    expect(site.queued.map(({ id }) => id).toSorted()).toEqual(expected);
    expect(told).toEqual(expected.filter((id) => id.startsWith("MADE")));
    expect(site.queued.flatMap(({ submissions }) => submissions)).toEqual([]);
  });

  test("takes none of it where the spool takes none of it", async () => {
    const spool = createMemorySpool();
    const full = { ...spool, accept: () => Promise.reject(new Fault("spool.full", "no room")) };
    site.close();
    site = createEntrance({ spool: full, bindings: [make()] });
    expect((await submit()).kind).toBe("deferred");
    expect(told).toEqual([]);
    expect(site.queued).toEqual([]);
  });
});
