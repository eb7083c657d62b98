import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readMailOptions, readRcptOptions } from "../../../src/smtp/parameter.ts";
import { decodeXtext, encodeXtext } from "../../../src/smtp/xtext.ts";

const settings = { binaryMime: true, secure: true, prdr: true };
/** Parameters as a client writes them. */
const parse = (text: string) =>
  new Map(
    text.split(" ").map((word) => {
      const [, keyword = "", value = ""] = /^([^=]*)=?(.*)$/su.exec(word)!;
      return [keyword, value] as const;
    }),
  );

describe("readMailOptions", () => {
  test.each<[why: string, parameters: string, options: object]>([
    ["a size", "SIZE=1000", { sizeOctets: 1_000 }],
    ["a size of 20 digits", `SIZE=${"1".repeat(20)}`, { sizeOctets: Number("1".repeat(20)) }],
    ["a body", "BODY=8bitmime", { body: "8BITMIME" }],
    ["a body without lines", "BODY=BINARYMIME", { body: "BINARYMIME" }],
    ["several", "SMTPUTF8 REQUIRETLS PRDR RET=hdrs", { smtpUtf8: true, requireTls: true, prdr: true, ret: "HDRS" }],
    ["an envelope id", "ENVID=QQ314+2B159+3D", { envelopeId: "QQ314+159=" }],
    ["an envelope id of 100 characters", `ENVID=${"x".repeat(100)}`, { envelopeId: "x".repeat(100) }],
    ["a submitter", "AUTH=e+3Dmc2@example.com", { submitter: "e=mc2@example.com" }],
    ["no submitter", "AUTH=<>", { submitter: "" }],
  ])("reads %s", (_why, parameters, options) => {
    expect(readMailOptions(parse(parameters), settings)).toEqual(options);
  });

  test.each<[why: string, parameters: string, code: number, status: string, changed?: Partial<typeof settings>]>([
    ["a size that is none", "SIZE=1k", 501, "5.5.4"],
    ["a size of 21 digits", `SIZE=${"1".repeat(21)}`, 501, "5.5.4"],
    ["a body nobody knows", "BODY=9BIT", 501, "5.5.4"],
    ["BINARYMIME not offered", "BODY=BINARYMIME", 501, "5.5.4", { binaryMime: false }],
    ["SMTPUTF8 with a value", "SMTPUTF8=1", 501, "5.5.4"],
    ["REQUIRETLS with a value", "REQUIRETLS=1", 501, "5.5.4"],
    ["REQUIRETLS in the clear", "REQUIRETLS", 530, "5.7.10", { secure: false }],
    ["PRDR with a value", "PRDR=1", 501, "5.5.4"],
    ["PRDR not offered", "PRDR", 555, "5.5.4", { prdr: false }],
    ["RET of something else", "RET=BODY", 501, "5.5.4"],
    ["an envelope id of 101 characters", `ENVID=${"x".repeat(101)}`, 501, "5.5.4"],
    ["no envelope id", "ENVID=", 501, "5.5.4"],
    ["a line end in xtext", "ENVID=a+0D+0Ab", 501, "5.5.4"],
    ["an envelope id beyond ASCII", "ENVID=+C3+A4", 501, "5.5.4"],
    ["a submitter that is no xtext", "AUTH=a+b", 501, "5.5.4"],
    ["a line end in the submitter", "AUTH=a+0Ab", 501, "5.5.4"],
    ["a parameter nobody offered", "HOLDFOR=60", 555, "5.5.4"],
    ["one of RCPT", "NOTIFY=NEVER", 555, "5.5.4"],
  ])("refuses %s", (_why, parameters, code, status, changed) => {
    expect(readMailOptions(parse(parameters), { ...settings, ...changed })).toMatchObject({ code, status });
  });
});

describe("readRcptOptions", () => {
  const original = (type: string, address: string) => ({ originalRecipient: { type, address } });
  test.each<[why: string, parameters: string, options: object]>([
    ["no report", "NOTIFY=never", { notify: ["never"] }],
    ["some reports", "NOTIFY=SUCCESS,delay", { notify: ["success", "delay"] }],
    ["a report twice as once", "NOTIFY=FAILURE,FAILURE", { notify: ["failure"] }],
    ["the original recipient", "ORCPT=rfc822;ann+2Bx@example.org", original("rfc822", "ann+x@example.org")],
    [
      "an international one under the other type",
      "ORCPT=rfc822;+C3+BCn@example.org",
      original("utf-8", "ün@example.org"),
    ],
    ["one of 500 characters", `ORCPT=rfc822;${"x".repeat(493)}`, original("rfc822", "x".repeat(493))],
    ["an international one", "ORCPT=utf-8;\\x{E4}\\x{2b}nn@example.org", original("utf-8", "ä+nn@example.org")],
    ["one in UTF-8", "ORCPT=UTF-8;änn@example.org", original("utf-8", "änn@example.org")],
    ["the last character there is", "ORCPT=utf-8;\\x{10FFFF}", original("utf-8", "\u{10ffff}")],
  ])("reads %s", (_why, parameters, options) => {
    expect(readRcptOptions(parse(parameters))).toEqual(options);
  });

  test.each<[why: string, parameters: string, code: number]>([
    ["NEVER with another", "NOTIFY=NEVER,DELAY", 501],
    ["a report nobody knows", "NOTIFY=ALWAYS", 501],
    ["an empty one", "NOTIFY=SUCCESS,", 501],
    ["no value", "NOTIFY=", 501],
    ["no type", "ORCPT=ann@example.org", 501],
    ["no address", "ORCPT=rfc822;", 501],
    ["501 characters", `ORCPT=rfc822;${"x".repeat(494)}`, 501],
    ["no xtext", "ORCPT=rfc822;a+b@example.org", 501],
    ["a line end", "ORCPT=rfc822;a+0D+0A@example.org", 501],
    ["UTF-8 in a type that has none", "ORCPT=x400;+C3+BCn@example.org", 501],
    ["UTF-8 where none may be", "ORCPT=rfc822;änn@example.org", 501],
    ["a line end in an international one", "ORCPT=utf-8;a\\x{D}\\x{A}@example.org", 501],
    ["half a character", "ORCPT=utf-8;\\x{D800}", 501],
    ["a character there is not", "ORCPT=utf-8;\\x{110000}", 501],
    ["a backslash alone", "ORCPT=utf-8;a\\b", 501],
    ["a parameter nobody offered", "COLOUR=BLUE", 555],
  ])("refuses %s", (_why, parameters, code) => {
    expect(readRcptOptions(parse(parameters))).toMatchObject({ code, status: "5.5.4" });
  });

  test("never throws, whatever the values are", () => {
    const value = fc.string({ unit: "binary", maxLength: 30 });
    fc.assert(
      fc.property(value, value, (one, other) => {
        expect(
          readRcptOptions(
            new Map([
              ["ORCPT", `utf-8;${one}`],
              ["NOTIFY", other],
            ]),
          ),
        ).toBeDefined();
        expect(
          readMailOptions(
            new Map([
              ["ENVID", one],
              ["AUTH", other],
            ]),
            settings,
          ),
        ).toBeDefined();
      }),
    );
  });
});

describe("xtext", () => {
  test("says the same behind encoding and decoding", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const encoded = encodeXtext(text);
        expect(encoded).toMatch(/^[\x21-\x7e]*$/);
        expect(decodeXtext(encoded)).toBe(text);
      }),
    );
  });

  test.each<[why: string, text: string, decoded: string | null]>([
    ["plain text", "ann@example.org", "ann@example.org"],
    ["an octet", "a+2Bb", "a+b"],
    ["small digits", "a+2bb", "a+b"],
    ["UTF-8", "+C3+A4", "ä"],
    ["half of UTF-8", "+C3", null],
    ["a plus alone", "a+", null],
    ["an equals sign", "a=b", null],
    ["a blank", "a b", null],
    ["a letter that is no digit", "a+2G", null],
  ])("decodes %s", (_why, text, decoded) => {
    expect(decodeXtext(text)).toBe(decoded);
  });
});
