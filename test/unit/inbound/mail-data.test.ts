import { describe, expect, test } from "vitest";
import { no } from "../../../src/inbound/answer.ts";
import {
  type AskHeaders,
  type AskOversize,
  type HeaderChoice,
  type MailDataLimits,
  MailDataReceiver,
} from "../../../src/inbound/mail-data.ts";
import type { Fault } from "../../../src/platform/fault.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";

const limits = { sizeOctetsMax: 1_000, headerOctetsMax: 200, lineEnds: "refuse", binary: false } as const;

/** Feeds `text` in pieces of every size from one octet up, and gives what came of it; all ways must agree. */
async function receive(text: string, options: Partial<MailDataLimits> = {}, askHeaders: AskHeaders | null = null) {
  const octets = Buffer.from(text, "latin1");
  const results = new Set<string>();
  for (const step of [1, 2, 3, 7, Math.max(1, octets.length)]) {
    const receiver = new MailDataReceiver(createMemorySpool().createBody(), { ...limits, ...options }, { askHeaders });
    for (let at = 0; at < octets.length; at += step) await receiver.write(octets.subarray(at, at + step));
    try {
      const received = await receiver.finish();
      if ("code" in received) {
        results.add(`${received.code} ${received.status} ${received.text}`);
        continue;
      }
      const { header, separator, body } = received;
      results.add(
        JSON.stringify([
          header.octets.toString("latin1"),
          separator.toString("latin1"),
          (await body.octets()).toString("latin1"),
        ]),
      );
    } catch (error) {
      results.add((error as { code: string }).code);
    }
  }
  expect([...results]).toHaveLength(1);
  const [result] = results;
  return result!.startsWith("[") ? (JSON.parse(result!) as [string, string, string]) : result;
}

describe("MailDataReceiver", () => {
  test.each([
    ["header and body", "A: b\r\nC: d\r\n\r\nbody\r\n", ["A: b\r\nC: d\r\n", "\r\n", "body\r\n"]],
    ["no body", "A: b\r\n\r\n", ["A: b\r\n", "\r\n", ""]],
    ["no empty line", "A: b\r\n", ["A: b\r\n", "", ""]],
    ["no header but an empty line", "\r\nbody\r\n", ["", "\r\n", "body\r\n"]],
    ["no header at all", "just words\r\n\r\nmore\r\n", ["", "\r\n", "just words\r\n\r\nmore\r\n"]],
    ["nothing", "", ["", "", ""]],
    ["an empty line inside the body", "A: b\r\n\r\none\r\n\r\ntwo\r\n", ["A: b\r\n", "\r\n", "one\r\n\r\ntwo\r\n"]],
    ["8-bit octets", "A: \xe9\r\n\r\n\xff\x80\r\n", ["A: \xe9\r\n", "\r\n", "\xff\x80\r\n"]],
  ])("parts %s", async (_why, text, expected) => {
    expect(await receive(text)).toEqual(expected);
  });

  test.each([
    ["a bare LF in the body", "A: b\r\n\r\none\ntwo\r\n", "message.bare-line-end"],
    ["a bare LF in the header", "A: b\nC: d\r\n\r\n", "message.bare-line-end"],
    ["a bare CR", "A: b\r\n\r\none\rtwo\r\n", "message.bare-line-end"],
    ["a CR at the very end", "A: b\r\n\r\none\r", "message.bare-line-end"],
    ["LF CR", "A: b\r\n\r\none\n\rtwo\r\n", "message.bare-line-end"],
    ["CR CR LF", "A: b\r\n\r\none\r\r\n", "message.bare-line-end"],
    ["a NUL", "A: b\r\n\r\none\0\r\n", "message.nul"],
  ])("refuses %s, however the octets come", async (_why, text, code) => {
    expect(await receive(text)).toBe(code);
  });

  test.each([
    ["bare LFs", "A: b\nC: d\n\none\n", ["A: b\r\nC: d\r\n", "\r\n", "one\r\n"]],
    ["bare CRs", "A: b\r\n\r\none\rtwo\r", ["A: b\r\n", "\r\n", "one\r\ntwo\r\n"]],
    ["both ways round", "A: b\r\n\r\none\n\rtwo\r\n", ["A: b\r\n", "\r\n", "one\r\n\r\ntwo\r\n"]],
  ])("normalizes %s where it is told to", async (_why, text, expected) => {
    expect(await receive(text, { lineEnds: "normalize" })).toEqual(expected);
  });

  test("takes a message of exactly the size limit and refuses one octet more", async () => {
    const text = `A: b\r\n\r\n${"x".repeat(990)}\r\n`;
    expect(text).toHaveLength(1_000);
    expect(await receive(text)).toHaveLength(3);
    expect(await receive(`x${text}`)).toBe("message.too-large");
  });

  test("takes a header of exactly its limit and refuses one octet more", async () => {
    const header = (length: number) => `A: ${"x".repeat(length - 5)}\r\n`;
    expect(await receive(`${header(198)}\r\n`)).toHaveLength(3);
    expect(await receive(`${header(240)}\r\n`)).toBe("message.header-too-large");
  });

  test.each([
    ["a body of any octets", "A: b\r\n\r\na\nb\rc\0", ["A: b\r\n", "\r\n", "a\nb\rc\0"]],
    ["a CR at the very end", "A: b\r\n\r\na\r", ["A: b\r\n", "\r\n", "a\r"]],
    ["a header with a bare LF", "A: b\nC: d\r\n\r\n", "message.bare-line-end"],
    ["a header with a bare CR", "A: b\rC: d\r\n\r\n", "message.bare-line-end"],
    ["a header with a NUL", "A: b\0\r\n\r\n", "message.bare-line-end"],
  ])("of a binary message: %s", async (_why, text, expected) => {
    expect(await receive(text, { binary: true })).toEqual(expected);
  });

  const text = "A: b\r\n\r\none\r\n";
  const refusal = { code: 550, status: "5.7.1", text: "No", close: false };
  const choices: readonly (readonly [why: string, ask: AskHeaders, expected: string | readonly string[]])[] = [
    ["keeps the message", () => "keep", ["A: b\r\n", "\r\n", "one\r\n"]],
    ["keeps it after a while", async (): Promise<HeaderChoice> => "keep", ["A: b\r\n", "\r\n", "one\r\n"]],
    ["drops the body", () => "drop-body", ["A: b\r\n", "\r\n", ""]],
    ["drops the body after a while", async (): Promise<HeaderChoice> => "drop-body", ["A: b\r\n", "\r\n", ""]],
    ["refuses it", () => refusal, "550 5.7.1 No"],
    ["refuses it after a while", async () => refusal, "550 5.7.1 No"],
  ];
  test.each(choices)("asked about the header: %s", async (_why, ask, expected) => {
    expect(await receive(text, {}, ask)).toEqual(expected);
    if (typeof expected === "string") expect(await receive("A: b\r\n", {}, ask)).toBe(expected);
  });

  test("asks about the header before a single octet of the body is written", async () => {
    const order: string[] = [];
    const writer = createMemorySpool().createBody();
    const write = (chunk: Buffer) => {
      order.push(`body ${chunk.length}`);
      return writer.write(chunk);
    };
    const watched = { ...writer, write };
    const askHeaders: AskHeaders = (header) => {
      order.push(`header ${header.get("A")}`);
      return "keep";
    };
    const receiver = new MailDataReceiver(watched, limits, { askHeaders });
    receiver.write(Buffer.from(text));
    expect(order).toEqual(["header b", "body 5"]);
  });
});

describe("a message that is larger than is taken", () => {
  const mail = Buffer.from(`A: b\r\n\r\n${"x".repeat(92)}`);

  async function take(
    askOversize: AskOversize | null,
    pieces: readonly Buffer[] = [mail, Buffer.from("y"), Buffer.from("z\r\n")],
  ) {
    const small = { ...limits, sizeOctetsMax: 100 };
    const receiver = new MailDataReceiver(createMemorySpool().createBody(), small, { askOversize });
    for (const piece of pieces) await receiver.write(piece);
    try {
      const received = await receiver.finish();
      return "code" in received ? `${received.code}` : `${received.body.sizeOctets}`;
    } catch (error) {
      return (error as Fault).code;
    }
  }

  test.each<[why: string, answer: AskOversize | null, expected: string]>([
    ["nobody is asked", null, "message.too-large"],
    ["it may have what came", () => 104, "96"],
    ["it may have an octet less", () => 103, "message.too-large"],
    ["it may have less than came when that was asked", () => 100, "message.too-large"],
    ["it is refused", () => no(552, "5.2.3", "Too much"), "552"],
    ["it may, said later", () => Promise.resolve(1_000), "96"],
    ["it is refused, said later", () => Promise.resolve(no(552, "5.2.3", "Too much")), "552"],
  ])("is taken or not, as is said: %s", async (_why, answer, expected) => {
    expect(await take(answer)).toBe(expected);
  });

  test("asks once, with what has come so far, and not for one of just the limit", async () => {
    const asked: number[] = [];
    const ask = (sizeOctets: number) => {
      asked.push(sizeOctets);
      return 1_000;
    };
    await take(ask, [mail]);
    expect(asked).toEqual([]);
    await take(ask);
    expect(asked).toEqual([101]);
  });

  test("what is said after it was given up changes nothing", async () => {
    const said = Promise.withResolvers<number>();
    const receiver = new MailDataReceiver(
      createMemorySpool().createBody(),
      { ...limits, sizeOctetsMax: 100 },
      { askOversize: () => said.promise },
    );
    receiver.write(mail);
    const later = receiver.write(Buffer.from("y"));
    expect(receiver.asking).toBe(true);
    receiver.refuse(no(451, "4.3.0", "Too late"));
    said.resolve(1_000);
    await later;
    expect(await receiver.finish()).toMatchObject({ code: 451 });
  });
});
