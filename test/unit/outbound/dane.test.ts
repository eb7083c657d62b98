/** DANE: which records can be used, and which chains match them. RFC 7671, RFC 7672. */
import { createHash, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { matchesTlsa, usableTlsa } from "../../../src/outbound/dane.ts";
import type { TlsaRecord } from "../../../src/platform/resolver.ts";
import {
  again,
  againLeaf,
  clientLeaf,
  falseAuthority,
  intermediate,
  leaf,
  narrow,
  narrowLeaf,
  narrowRoot,
  policyHost,
  root,
  tooDeep,
  tooDeepLeaf,
} from "./dane-certificates.ts";

const host = "mx.example.org";
const der = (pem: string) => new X509Certificate(pem).raw;
const keyOf = (pem: string) => new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" });
const sha = (bits: 256 | 512, data: Buffer) => createHash(`sha${bits}`).update(data).digest();

function record(numbers: string, pem: string): TlsaRecord {
  const [usage = 0, selector = 0, matchingType = 0] = numbers.split(" ").map(Number);
  const selected = selector === 0 ? der(pem) : keyOf(pem);
  const data = matchingType === 1 ? sha(256, selected) : matchingType === 2 ? sha(512, selected) : selected;
  return { usage, selector, matchingType, data };
}

describe("matchesTlsa", () => {
  test.each<[string, string, string, readonly string[], boolean]>([
    ["whole certificate", "3 0 0", leaf, [leaf], true],
    ["digest of it", "3 0 1", leaf, [leaf], true],
    ["longer digest of it", "3 0 2", leaf, [leaf], true],
    ["whole key", "3 1 0", leaf, [leaf], true],
    ["digest of the key", "3 1 1", leaf, [leaf], true],
    ["longer digest of the key", "3 1 2", leaf, [leaf], true],
    ["usage 3 minds no purpose", "3 0 1", leaf, [leaf, intermediate], true],
    ["another certificate with the same key", "3 0 1", leaf, [clientLeaf], false],
    ["usage 3 is not about authorities", "3 0 1", intermediate, [leaf, intermediate], false],
    ["the authority above", "2 0 1", intermediate, [leaf, intermediate], true],
    ["its key", "2 1 1", intermediate, [leaf, intermediate], true],
    ["the root, two steps up", "2 1 2", root, [leaf, intermediate, root], true],
    ["in any order", "2 0 1", root, [leaf, root, intermediate], true],
    ["a root that is in DNS alone", "2 0 0", root, [leaf, intermediate], true],
    ["a key that is in DNS alone", "2 1 0", root, [leaf, intermediate], true],
    ["a gap in the chain", "2 0 1", root, [leaf, root], false],
    ["the authority was not sent", "2 0 1", intermediate, [leaf], false],
    ["usage 2 is not about the server's own", "2 0 1", leaf, [leaf, intermediate], false],
    ["sent along, but signs nothing", "2 0 1", policyHost, [leaf, policyHost], false],
    ["the authority's key, but no authority", "2 1 1", falseAuthority, [leaf, falseAuthority], false],
    ["a certificate for clients", "2 0 1", intermediate, [clientLeaf, intermediate], false],
    ["as many between as an authority allows", "2 0 1", narrowRoot, [narrowLeaf, narrow, narrowRoot], true],
    ["none between, and none allowed", "2 0 1", narrow, [narrowLeaf, narrow], true],
    ["one between, and none allowed", "2 0 1", narrow, [tooDeepLeaf, tooDeep, narrow], false],
    ["nor above the one that allows none", "2 0 1", narrowRoot, [tooDeepLeaf, tooDeep, narrow, narrowRoot], false],
    ["nor where it is in DNS alone", "2 0 0", narrow, [tooDeepLeaf, tooDeep], false],
    ["the one between is the anchor itself", "2 0 1", tooDeep, [tooDeepLeaf, tooDeep, narrow], true],
    ["another key of the same authority does not count", "2 0 1", narrow, [againLeaf, again, narrow], true],
    ["nor above it", "2 0 1", narrowRoot, [againLeaf, again, narrow, narrowRoot], true],
    ["usage 1 proves nothing here", "1 0 1", leaf, [leaf], false],
    ["no chain", "3 0 1", leaf, [], false],
  ])("%s: %s", (_why, numbers, about, chain, matches) => {
    expect(matchesTlsa(chain.map(der), [record(numbers, about)], { host })).toBe(matches);
  });

  test("of several records one is enough", () => {
    expect(matchesTlsa([der(leaf)], [record("3 1 1", root), record("3 1 1", leaf)], { host })).toBe(true);
    expect(matchesTlsa([der(leaf)], [], { host })).toBe(false);
  });

  test.each([
    ["usage 2 minds the name", "2 0 1", intermediate, "mx.example.net", null, false],
    ["or the domain's", "2 0 1", intermediate, "mx.example.net", "mx.example.org", true],
    ["usage 3 does not", "3 0 1", leaf, "mx.example.net", null, true],
  ] as const)("%s", (_why, numbers, about, name, domain, matches) => {
    const chain = [leaf, intermediate].map(der);
    expect(matchesTlsa(chain, [record(numbers, about)], { host: name, domain })).toBe(matches);
  });

  test.each([
    ["usage 2 minds dates", "2 0 1", intermediate, false],
    ["usage 3 does not", "3 0 1", leaf, true],
  ] as const)("%s", (_why, numbers, about, matches) => {
    const chain = [leaf, intermediate].map(der);
    for (const at of [Date.UTC(2020, 0), Date.UTC(2200, 0)])
      expect(matchesTlsa(chain, [record(numbers, about)], { host, at })).toBe(matches);
  });

  test("octets that are no certificate match nothing and throw nothing", () => {
    const garbage = Buffer.from("not a certificate");
    expect(matchesTlsa([garbage], [record("3 0 1", leaf)], { host })).toBe(false);
    expect(matchesTlsa([garbage, der(leaf)], [record("3 0 1", leaf)], { host })).toBe(false);
    expect(matchesTlsa([der(leaf), garbage, der(intermediate)], [record("2 0 1", intermediate)], { host })).toBe(true);
  });

  test("an authority above the tenth certificate is not looked at", () => {
    const chain = (others: number) => [leaf, ...Array<string>(others).fill(policyHost), intermediate].map(der);
    expect(matchesTlsa(chain(8), [record("2 0 1", intermediate)], { host })).toBe(true);
    expect(matchesTlsa(chain(9), [record("2 0 1", intermediate)], { host })).toBe(false);
  });
});

describe("usableTlsa", () => {
  const short = record("3 1 1", leaf);
  test.each<[string, TlsaRecord, boolean]>([
    ["usage 2", record("2 0 1", root), true],
    ["usage 3", short, true],
    ["usages of PKIX", { ...short, usage: 0 }, false],
    ["usages of PKIX", { ...short, usage: 1 }, false],
    ["a usage nobody knows", { ...short, usage: 4 }, false],
    ["a selector nobody knows", { ...short, selector: 2 }, false],
    ["a digest nobody knows", { ...short, matchingType: 3 }, false],
    ["a digest cut short", { ...short, data: short.data.subarray(1) }, false],
    ["a digest too long", { ...short, data: Buffer.concat([short.data, Buffer.alloc(1)]) }, false],
    ["a certificate that is none", { usage: 3, selector: 0, matchingType: 0, data: Buffer.from("x") }, false],
    ["a key that is none", { usage: 3, selector: 1, matchingType: 0, data: Buffer.from("x") }, false],
  ])("%s", (_why, tlsa, usable) => expect(usableTlsa([tlsa])).toEqual(usable ? [tlsa] : []));

  test("the stronger digest of the same usage and selector counts alone, and whole data beside it", () => {
    const [weak, strong, whole, other] = ["3 1 1", "3 1 2", "3 1 0", "2 1 1"].map((numbers) => record(numbers, leaf));
    expect(usableTlsa([weak!, strong!, whole!, other!])).toEqual([strong, whole, other]);
  });

  test("more than twenty do not count", () => {
    expect(usableTlsa(Array<TlsaRecord>(21).fill(short))).toHaveLength(20);
  });
});
