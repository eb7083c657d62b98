/** Custody: what is written beside a quarantined message, who may still write to one that was decided, and where room is looked for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { parseRule } from "../../../src/events/rule.ts";
import type { MessageSubject } from "../../../src/events/subject.ts";
import { quarantine } from "../../../src/events/verdict.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import { InboundSession } from "../../../src/inbound/session.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { Fault } from "../../../src/platform/fault.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createEntrance, type TestEntrance } from "../../support/entrance.ts";
import { createBinding } from "../../support/events.ts";
import { createListenerOptions, createReceptionOptions, createRoom } from "../../support/listener.ts";

let here: TestEntrance | undefined;
afterEach(() => here?.close());

async function submit(...bindings: readonly Binding[]): Promise<void> {
  here = createEntrance({ bindings });
  const envelope = { reversePath: null, recipients: [{ mailbox: parseMailbox("bob@example.test") }] };
  await here.entrance.submit({ origin: "submit", envelope, octets: Buffer.from("A: b\n\nt\n") });
}

async function reasonKept(): Promise<unknown> {
  const [id] = await here!.badmail.ids();
  return JSON.parse(readFileSync(join(here!.badmail.folder, id!, "reason.json"), "utf8"));
}

test("a verdict's binding and rule stand beside the message", async () => {
  const rule = parseRule("SIZE = >1B", "onArrival");
  await submit(createBinding("onArrival", () => quarantine("odd"), { id: "b1", rule }));
  expect(await reasonKept()).toMatchObject({ reason: "odd", binding: "b1", rule: rule.text, fault: null, from: "<>" });
});

test("so does the fault, where that decided", async () => {
  const fail = () => {
    throw new Error("oops");
  };
  await submit(createBinding("onArrival", fail, { id: "b1", onFault: "quarantine" }));
  expect(await reasonKept()).toMatchObject({ binding: "b1", rule: null, fault: "sink.failed" });
});

test.each<[why: string, source: Binding["source"], isRevoked: boolean]>([
  ["one of the site's", "config", true],
  ["one of the server's own, which keeps none", "server", false],
])("the message is revoked where a native sink may hold it: %s", async (_why, source, isRevoked) => {
  let seen: Message | undefined;
  const handler = ({ message }: MessageSubject) => {
    seen = message;
  };
  await submit(createBinding("onArrival", handler, { source }));
  const write = () => {
    seen!.notes = {};
  };
  if (isRevoked) expect(write).toThrow(expect.objectContaining({ code: "message.revoked" }));
  else expect(write).not.toThrow();
});

test("the disk is looked at where the spool has no room, and the client tries again", async () => {
  let looks = 0;
  const spool = createMemorySpool();
  const accept = () => Promise.reject(new Fault("spool.full", "no room"));
  const onFull = () => void looks++;
  const full = { ...spool, createBody: () => spool.createBody(), accept };
  expect(await receive(createReceptionOptions({ spool: full, onFull }))).toBe("452 4.3.1");
  expect(looks).toBe(1);
});

test("room is looked for again at the end of the data", async () => {
  let isShort = false;
  const room = { ...createRoom(), refusal: () => createRoom(isShort ? -1 : 1).refusal(0) };
  const spool = createMemorySpool();
  const reply = await receive(createReceptionOptions({ spool, room }), () => {
    isShort = true;
  });
  expect([reply, spool.counts().messages]).toEqual(["452 4.3.1", 0]);
});

async function receive(options: ReturnType<typeof createReceptionOptions>, meanwhile = () => {}): Promise<string> {
  const reception = new Reception(createListenerOptions(), options);
  const session = new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.1", port: 1, startedAt: 0 });
  await reception.mailFrom(session, { path: "<ann@example.org>", parameters: new Map(), options: {} });
  await reception.rcptTo(session, { path: "<bob@example.test>", parameters: new Map(), options: {} });
  const receiver = reception.receiveData(session);
  await receiver.write(Buffer.from("Subject: one\r\n\r\ntext\r\n"));
  meanwhile();
  const { answer } = await reception.endOfData(session, receiver, { protocol: "ESMTP", perRecipient: false });
  return `${answer.code} ${answer.status}`;
}
