import { describe, expect, test } from "vitest";
import { comparableAddress, objectionTo } from "../../../src/platform/address-policy.ts";

describe("objectionTo", () => {
  test.each<[why: string, last: string, next: string, kind: string]>([
    ["this network", "0.255.255.255", "1.0.0.0", "an unspecified address"],
    ["10/8", "10.255.255.255", "11.0.0.0", "a private address"],
    ["behind a provider's translation", "100.127.255.255", "100.128.0.0", "a private address"],
    ["loopback", "127.255.255.255", "128.0.0.0", "a loopback address"],
    ["link-local", "169.254.255.255", "169.255.0.0", "a link-local address"],
    ["172.16/12", "172.31.255.255", "172.32.0.0", "a private address"],
    ["192.168/16", "192.168.255.255", "192.169.0.0", "a private address"],
    ["protocol assignments", "192.0.0.255", "192.0.1.0", "a private address"],
    ["benchmarks", "198.19.255.255", "198.20.0.0", "a private address"],
    ["IPv6 unique local", "fdff:ffff::1", "fe00::1", "a private address"],
    ["IPv6 link-local", "febf::1", "2606::1", "a link-local address"],
    ["IPv6 multicast", "ff02::1", "2a00::1", "a multicast or reserved address"],
    ["IPv6 loopback", "::1", "2606:4700::1", "a loopback address"],
    ["IPv6 unspecified", "::", "2606:4700::1", "an unspecified address"],
    ["a translator to a private address", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "a private address"],
    ["a local translator", "64:ff9b:1::1", "64:ff9c::1", "a private address"],
    ["6to4 to loopback", "2002:7f00:1::1", "2002:808:808::1", "a loopback address"],
  ])("%s: %s, and not %s", (_why, last, next, kind) => {
    expect(objectionTo(last)).toBe(kind);
    expect(objectionTo(next)).toBeUndefined();
  });

  test.each([
    ["100.64.0.0", "a private address"],
    ["100.63.255.255", undefined],
    ["172.15.255.255", undefined],
    ["126.255.255.255", undefined],
    ["223.255.255.255", undefined],
    ["224.0.0.1", "a multicast or reserved address"],
    ["255.255.255.255", "a multicast or reserved address"],
    ["169.254.169.254", "a link-local address"],
    ["fd00:ec2::254", "a private address"],
    ["::ffff:8.8.8.8", "an IPv4 address in an IPv6 one"],
    ["::ffff:127.0.0.1", "an IPv4 address in an IPv6 one"],
    ["::127.0.0.1", "an IPv4 address in an IPv6 one"],
    ["0:0:0:0:0:FFFF:7F00:1", "an IPv4 address in an IPv6 one"],
    ["2001:db8::1", undefined],
    ["fe80::1%eth0", "an address with a zone"],
    ["mx.example.org", "no address"],
    ["", "no address"],
  ])("%s is %s", (ip, kind) => expect(objectionTo(ip)).toBe(kind));
});

describe("comparableAddress", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::FFFF:C000:0201", "192.0.2.1"],
    ["2001:DB8:0:0::1", "2001:db8:0:0:0:0:0:1"],
    ["2001:db8::1", "2001:db8:0:0:0:0:0:1"],
    ["fe80::1%eth0", "fe80:0:0:0:0:0:0:1"],
  ])("%s is %s", (ip, expected) => expect(comparableAddress(ip)).toBe(expected));
});
