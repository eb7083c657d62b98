/** How long a path a certificate allows, read from its octets. RFC 5280 §4.2.1.9. */
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { pathLengthMaxOf } from "../../../src/outbound/path-length.ts";
import { falseAuthority, leaf, narrow, narrowRoot, root, tooDeep } from "./dane-certificates.ts";

const der = (pem: string) => new X509Certificate(pem).raw;
const constraints = (hex: string) => {
  const wrap = (tag: number, ...parts: readonly Buffer[]) => {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([tag, content.length]), content]);
  };
  const oid = Buffer.from("0603551d13", "hex");
  const extension = wrap(0x30, oid, wrap(0x04, wrap(0x30, Buffer.from(hex, "hex"))));
  return wrap(0x30, wrap(0x30, wrap(0xa3, wrap(0x30, extension))));
};

describe("pathLengthMaxOf", () => {
  test.each<[string, Buffer, number]>([
    ["none is allowed", der(narrow), 0],
    ["one is allowed", der(narrowRoot), 1],
    ["it says nothing of it", der(tooDeep), Number.POSITIVE_INFINITY],
    ["another that says nothing", der(root), Number.POSITIVE_INFINITY],
    ["no authority", der(falseAuthority), Number.POSITIVE_INFINITY],
    ["it has no such extension", der(leaf), Number.POSITIVE_INFINITY],
    ["a length of several octets", constraints("0101ff02020100"), 256],
    ["one that is larger than anybody needs", constraints("0101ff020501000000ff"), 0xffffffff],
    ["one below zero", constraints("0101ff0201ff"), -1],
    ["one without octets", constraints("0101ff0200"), -1],
    ["cut off", der(narrow).subarray(0, -1), -1],
    ["nothing", Buffer.alloc(0), -1],
    ["no certificate", Buffer.from("30840000000130", "hex"), -1],
  ])("%s", (_why, octets, length) => expect(pathLengthMaxOf(octets)).toBe(length));
});
