import { describe, expect, test } from "vitest";
import { createIsOurselves } from "../../../src/outbound/mx-ourselves.ts";

const at = (...listeners: [address: string, port: number][]) =>
  createIsOurselves({
    names: ["Mail.Example.test."],
    listeners: () => listeners.map(([address, port]) => ({ address, port })),
    machine: () => ["192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"],
  });

describe("createIsOurselves", () => {
  type Row = [why: string, listener: [string, number], host: string, ip: string, port: number, expected: boolean];
  test.each<Row>([
    ["our name, at any port", ["192.0.2.1", 2525], "mail.example.test", "", 25, true],
    ["another name without an address", ["0.0.0.0", 25], "mx.example.test", "", 25, false],
    ["where a listener is", ["192.0.2.1", 25], "mx.example.test", "192.0.2.1", 25, true],
    ["another port there", ["192.0.2.1", 25], "mx.example.test", "192.0.2.1", 26, false],
    ["another address", ["192.0.2.1", 25], "mx.example.test", "192.0.2.2", 25, false],
    ["the same address, written otherwise", ["2001:db8::1", 25], "mx.example.test", "2001:DB8:0::1", 25, true],
    ["IPv4 within IPv6", ["192.0.2.1", 25], "mx.example.test", "::ffff:192.0.2.1", 25, true],
    ["a listener everywhere", ["0.0.0.0", 25], "mx.example.test", "192.0.2.1", 25, true],
    ["a listener everywhere, of IPv6", ["::", 25], "mx.example.test", "192.0.2.1", 25, true],
    ["a listener everywhere, and another machine", ["::", 25], "mx.example.test", "192.0.2.2", 25, false],
    ["any loopback address of one everywhere", ["0.0.0.0", 25], "mx.example.test", "127.8.8.8", 25, true],
    ["the address that is all of them", ["0.0.0.0", 25], "mx.example.test", "0.0.0.0", 25, true],
    ["loopback, and a listener elsewhere", ["192.0.2.1", 25], "mx.example.test", "127.0.0.1", 25, false],
  ])("%s", (_why, listener, host, ip, port, expected) => {
    expect(at(listener)(host, ip, port)).toBe(expected);
  });

  test("knows the addresses of the machine", () => {
    const isOurselves = createIsOurselves({ names: [], listeners: () => [{ address: "::", port: 25 }] });
    expect(isOurselves("localhost", "127.0.0.1", 25)).toBe(true);
  });
});
