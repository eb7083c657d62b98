import { describe, expect, test } from "vitest";
import type { TlsPolicy } from "../../../src/events/subject-outbound.ts";
import { formatSmarthost, type Smarthost, tlsOverrideOf, tlsPolicyOf } from "../../../src/outbound/next-hop.ts";

describe("formatSmarthost", () => {
  const names: [why: string, smarthost: Smarthost, name: string][] = [
    ["a name", { host: "mx.example.org", port: 25, tls: "off" }, "mx.example.org:25"],
    ["an address of IPv6", { host: "2001:db8::1", port: 25, tls: "off" }, "[2001:db8::1]:25"],
    ["a socket", { host: "localhost", port: 0, socket: "/run/x", protocol: "lmtp", tls: "off" }, "lmtp:/run/x"],
  ];
  test.each(names)("%s", (_why, smarthost, name) => {
    expect(formatSmarthost(smarthost)).toBe(name);
  });
});

describe("tlsOverrideOf", () => {
  const overrides = [
    { host: "*.relay.example", policy: "off" },
    { host: "mx.relay.example", policy: "verified" },
  ] as const;
  test.each<[why: string, host: string, policy: TlsPolicy | undefined]>([
    ["the first that matches", "MX.relay.example", "off"],
    ["none", "relay.example", undefined],
  ])("%s", (_why, host, policy) => {
    expect(tlsOverrideOf(host, overrides)).toBe(policy);
  });
});

describe("tlsPolicyOf", () => {
  const rows: { why: string; tls?: Smarthost["tls"]; overrides: [string, TlsPolicy][]; policy: TlsPolicy }[] = [
    { why: "the smarthost's own", overrides: [], policy: "opportunistic" },
    { why: "required checks the certificate", tls: "required", overrides: [], policy: "verified" },
    { why: "off", tls: "off", overrides: [], policy: "off" },
    { why: "its name", overrides: [["MX.relay.example", "required"]], policy: "required" },
    { why: "another name", overrides: [["mx2.relay.example", "required"]], policy: "opportunistic" },
    { why: "every name below", overrides: [["*.relay.example", "verified"]], policy: "verified" },
    { why: "two levels below", overrides: [["*.example", "verified"]], policy: "verified" },
    { why: "a name is not below itself", overrides: [["*.mx.relay.example", "off"]], policy: "opportunistic" },
    { why: "the end of a label is no name", overrides: [["*.lay.example", "off"]], policy: "opportunistic" },
    {
      why: "the first that matches",
      overrides: [
        ["*.relay.example", "off"],
        ["mx.relay.example", "verified"],
      ],
      policy: "off",
    },
  ];
  test.each(rows)("$why: $policy", ({ tls = "opportunistic", overrides, policy }) => {
    const given = overrides.map(([host, policy]) => ({ host, policy }));
    expect(tlsPolicyOf({ host: "mx.relay.example", port: 25, tls }, given)).toBe(policy);
  });
});
