import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { proxyPayloadOctetsMax, readProxyHeader } from "../../../src/smtp/proxy-header.ts";

const signature = "0d0a0d0a000d0a515549540a";
const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
const read = (header: Buffer | string) =>
  readProxyHeader(Buffer.isBuffer(header) ? header : Buffer.from(header, "latin1"));
const four = { ip: "192.0.2.1", port: 56_324, localIp: "192.0.2.2", localPort: 25 };
const six = { ip: "2001:db8::1", port: 56_324, localIp: "2001:db8::2", localPort: 25 };
const fourPayload = "c0000201 c0000202 dc04 0019";
const sixPayload = "20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 0019";
const longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".padEnd(105, "x");

describe("readProxyHeader", () => {
  test.each<[why: string, header: string | Buffer, client: object | null]>([
    ["IPv4 in text", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n", four],
    ["IPv6 in text", "PROXY TCP6 2001:db8::1 2001:db8:0::2 56324 25\r\n", six],
    ["IPv4 inside IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 56324 25\r\n", four],
    ["UNKNOWN", "PROXY UNKNOWN\r\n", null],
    ["UNKNOWN with anything behind it, at the greatest length", `${longest}\r\n`, null],
    ["IPv4 in binary", hex(`${signature} 21 11 000c ${fourPayload}`), four],
    ["IPv6 in binary", hex(`${signature} 21 21 0024 ${sixPayload}`), six],
    ["extensions behind the addresses", hex(`${signature} 21 11 0011 ${fourPayload} 04 0002 abcd`), four],
    ["LOCAL", hex(`${signature} 20 00 0000`), null],
    ["LOCAL with addresses", hex(`${signature} 20 11 000c ${fourPayload}`), null],
    ["UNSPEC", hex(`${signature} 21 00 0003 010203`), null],
    [
      "the longest payload",
      Buffer.concat([hex(`${signature} 21 11 1000 ${fourPayload}`), Buffer.alloc(proxyPayloadOctetsMax - 12)]),
      four,
    ],
  ])("reads %s, however much of it is there", (_why, header, client) => {
    const octets = Buffer.isBuffer(header) ? header : Buffer.from(header);
    for (let length = 1; length < octets.length; length++) expect(read(octets.subarray(0, length))).toBe("more");
    expect(read(octets)).toEqual({ client, rest: Buffer.alloc(0) });
    expect(read(Buffer.concat([octets, Buffer.from("EHLO")]))).toEqual({ client, rest: Buffer.from("EHLO") });
  });

  test.each<[why: string, header: string | Buffer]>([
    ["SMTP", "EHLO a.example\r\n"],
    ["nothing like it in its first octet", "x"],
    ["small letters", "proxy TCP4 192.0.2.1 192.0.2.2 56324 25\r\n"],
    ["another family", "PROXY UDP4 192.0.2.1 192.0.2.2 56324 25\r\n"],
    ["IPv6 as IPv4", "PROXY TCP4 2001:db8::1 192.0.2.2 56324 25\r\n"],
    ["IPv4 as IPv6", "PROXY TCP6 192.0.2.1 2001:db8::1 56324 25\r\n"],
    ["a zone", "PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 25\r\n"],
    ["a port too high", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"],
    ["a port with a zero in front", "PROXY TCP4 192.0.2.1 192.0.2.2 025 25\r\n"],
    ["no port", "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n"],
    ["too much", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25 1\r\n"],
    ["two blanks", "PROXY  TCP4 192.0.2.1 192.0.2.2 56324 25\r\n"],
    ["a line of 108 octets", `${longest}x\r\n`],
    ["a lone LF", `PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\n${"x".repeat(80)}`],
    ["another version", hex(`${signature} 11 11 000c ${fourPayload}`)],
    ["another command", hex(`${signature} 22 11 000c ${fourPayload}`)],
    ["UDP", hex(`${signature} 21 12 000c ${fourPayload}`)],
    ["a UNIX socket", hex(`${signature} 21 31 000c ${fourPayload}`)],
    ["too few addresses", hex(`${signature} 21 11 000b c0000201 c0000202 dc04 00`)],
    ["IPv6 in the length of IPv4", hex(`${signature} 21 21 000c ${fourPayload}`)],
    ["a payload too long", hex(`${signature} 21 11 1001`)],
  ])("refuses %s", (_why, header) => {
    expect(read(header)).toEqual({ error: expect.any(String) as string });
  });

  test("never throws, whatever comes", () => {
    const begin = fc.constantFrom(
      "",
      "PROXY ",
      "PROXY TCP6 ",
      "\r\n\r\n\0\r\nQUIT\n",
      "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24",
    );
    fc.assert(
      fc.property(begin, fc.uint8Array({ maxLength: 140 }), (text, octets) => {
        expect(read(Buffer.concat([Buffer.from(text, "latin1"), octets]))).toBeDefined();
      }),
      { numRuns: 2_000 },
    );
  });
});
