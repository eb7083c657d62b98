import { describe, expect, test } from "vitest";
import { Header, splitMessage } from "../../../src/mail/header.ts";
import { inlineBody, Message } from "../../../src/mail/message.ts";
import { faultOf } from "../../support/fault-of.ts";

function createMessage(text: string): Message {
  const { header, separator, body } = splitMessage(Buffer.from(text));
  return new Message({
    id: "01ARZ3NDEKTSV4RR",
    receivedAt: 1,
    origin: {
      sessionId: "s",
      listener: "mx",
      ip: "192.0.2.1",
      host: null,
      helo: "client.example",
      user: null,
      tls: null,
    },
    envelope: { reversePath: null, recipients: [{ mailbox: { localPart: "ann", domain: "example.org" } }] },
    header,
    separator,
    body: inlineBody(body),
    notes: {},
  });
}

async function octetsOf(message: Message): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message.chunks()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe("Message", () => {
  const texts: readonly [why: string, text: string, sizeOctets: number][] = [
    ["header and body", "A: 1\r\n\r\nbody\r\n", 14],
    ["no body", "A: 1\r\n", 6],
    ["no header: the separator it needs is its own", "body\r\n", 8],
    ["nothing", "", 0],
  ];
  test.each(texts)("chunks are the message, and sizeOctets counts them: %s", async (_why, text, sizeOctets) => {
    const message = createMessage(text);
    expect((await octetsOf(message)).endsWith(text)).toBe(true);
    expect(Buffer.byteLength(await octetsOf(message))).toBe(sizeOctets);
    expect(message.sizeOctets).toBe(sizeOctets);
  });

  test("restore puts back all that a snapshot saw, whatever was edited since", async () => {
    const message = createMessage("A: 1\r\n\r\nbody\r\n");
    const before = message.snapshot();
    message.header = message.header.add("B", "2");
    message.separator = Buffer.alloc(0);
    message.body = inlineBody(Buffer.from("other"));
    message.envelope = { reversePath: { localPart: "x", domain: "example.org" }, recipients: [] };
    message.notes = { seen: true };
    expect(await octetsOf(message)).toBe("A: 1\r\nB: 2\r\nother");
    message.restore(before);
    expect(await octetsOf(message)).toBe("A: 1\r\n\r\nbody\r\n");
    expect(message.snapshot()).toEqual(before);
    expect(message.envelope.recipients).toHaveLength(1);
  });

  test("a header put in place of another is what goes out", async () => {
    const message = createMessage("A: 1\r\n\r\nbody\r\n");
    message.header = Header.empty.add("B", "2");
    expect(await octetsOf(message)).toBe("B: 2\r\n\r\nbody\r\n");
  });
});

test("inlineBody gives its octets whole and in pieces", async () => {
  const body = inlineBody(Buffer.from("abc"));
  expect([body.sizeOctets, body.inline?.toString(), body.file, (await body.octets()).toString()]).toEqual([
    3,
    "abc",
    undefined,
    "abc",
  ]);
  const chunks: string[] = [];
  for await (const chunk of body.chunks()) chunks.push(chunk.toString());
  expect(chunks).toEqual(["abc"]);
  for await (const _chunk of inlineBody(Buffer.alloc(0)).chunks()) throw new Error("an empty body has no pieces");
});

describe("Message.revoke", () => {
  const edits: readonly [string, (message: Message) => void][] = [
    ["header", (message) => (message.header = Header.empty)],
    ["body", (message) => (message.body = inlineBody(Buffer.from("x")))],
    ["envelope", (message) => (message.envelope = { reversePath: null, recipients: [] })],
    ["notes", (message) => (message.notes = { changed: true })],
    ["separator", (message) => (message.separator = Buffer.alloc(0))],
    ["state as a whole", (message) => message.restore(createMessage("Other: 1\n\nother").snapshot())],
  ];
  test.each(edits)("ends edits of the %s; what was there can be read and copied", (_what, edit) => {
    const message = createMessage("A: b\n\nbody");
    const before = message.snapshot();
    message.revoke();
    expect(faultOf(() => edit(message)).code).toBe("message.revoked");
    expect(message.snapshot()).toEqual(before);
    const copy = new Message(message);
    edit(copy);
    expect(copy.snapshot()).not.toEqual(before);
  });
});
