import { describe, expect, test } from "vitest";
import { readPeerAttributes } from "../../../src/smtp/peer-attributes.ts";

describe("readPeerAttributes", () => {
  test.each<[why: string, verb: "XCLIENT" | "XFORWARD", argument: string, attributes: Record<string, string | null>]>([
    ["a client", "XCLIENT", "NAME=a.example ADDR=192.0.2.1", { NAME: "a.example", ADDR: "192.0.2.1" }],
    ["names in any case", "XCLIENT", "name=a.example", { NAME: "a.example" }],
    ["IPv6", "XCLIENT", "ADDR=IPV6:2001:db8::1 DESTADDR=ipv6:::1", { ADDR: "2001:db8::1", DESTADDR: "::1" }],
    ["IPv6 without its prefix", "XCLIENT", "ADDR=2001:db8::1", { ADDR: "2001:db8::1" }],
    ["IPv4 inside IPv6", "XCLIENT", "ADDR=IPV6:::FFFF:192.0.2.1", { ADDR: "192.0.2.1" }],
    ["IPv6 in another spelling", "XCLIENT", "ADDR=IPV6:2001:DB8:0::1", { ADDR: "2001:db8::1" }],
    ["ports", "XCLIENT", "PORT=65535 DESTPORT=025", { PORT: "65535", DESTPORT: "25" }],
    ["what is not known", "XCLIENT", "NAME=[UNAVAILABLE] ADDR=[tempunavail]", { NAME: null, ADDR: null }],
    ["xtext", "XCLIENT", "LOGIN=ann+2Bx HELO=[192.0.2.1]", { LOGIN: "ann+x", HELO: "[192.0.2.1]" }],
    ["a user beyond ASCII", "XCLIENT", "LOGIN=+C3+A4nn", { LOGIN: "änn" }],
    ["255 characters", "XFORWARD", `IDENT=${"x".repeat(255)}`, { IDENT: "x".repeat(255) }],
    ["a source", "XFORWARD", "SOURCE=LOCAL PROTO=ESMTP", { SOURCE: "LOCAL", PROTO: "ESMTP" }],
  ])("reads %s", (_why, verb, argument, attributes) => {
    expect(Object.fromEntries(readPeerAttributes(verb, argument) as Map<string, string | null>)).toEqual(attributes);
  });

  test.each<[why: string, verb: "XCLIENT" | "XFORWARD", argument: string]>([
    ["nothing", "XCLIENT", ""],
    ["an attribute nobody knows", "XCLIENT", "COLOUR=BLUE"],
    ["one of the other command", "XCLIENT", "IDENT=x"],
    ["one of the other command", "XFORWARD", "LOGIN=ann"],
    ["no value", "XCLIENT", "NAME"],
    ["an empty value", "XCLIENT", "NAME="],
    ["one twice", "XCLIENT", "NAME=a NAME=b"],
    ["an address that is none", "XCLIENT", "ADDR=192.0.2.256"],
    ["IPv4 called IPv6", "XCLIENT", "ADDR=IPV6:192.0.2.1"],
    ["an address with a zone", "XCLIENT", "ADDR=IPV6:fe80::1%eth0"],
    ["an address in brackets", "XCLIENT", "ADDR=[192.0.2.1]"],
    ["a port too high", "XCLIENT", "PORT=65536"],
    ["a name with a blank", "XCLIENT", "NAME=a+20b"],
    ["a line end in xtext", "XCLIENT", "LOGIN=a+0D+0Ab"],
    ["no xtext", "XCLIENT", "HELO=a+b"],
    ["another source", "XFORWARD", "SOURCE=MOON"],
    ["256 characters", "XFORWARD", `IDENT=${"x".repeat(256)}`],
  ])("refuses %s", (_why, verb, argument) => {
    expect(readPeerAttributes(verb, argument)).toBeTypeOf("string");
  });
});
