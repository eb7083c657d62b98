/** How many authorities a certificate's own allows below it: what Node does not tell of it, read from its octets. RFC 5280 §4.2.1.9. Pure. */

/** Tags of DER. X.690 §8. */
const tags = { integer: 0x02, octets: 0x04, oid: 0x06, extensions: 0xa3 } as const;
/** 2.5.29.19. */
const basicConstraints = Buffer.from([0x55, 0x1d, 0x13]);

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

/**
 * Authorities that may stand between this one and the certificate of the server, those of its own name not counted; Infinity where it says nothing, -1 where what
 * it says cannot be read.
 */
export function pathLengthMaxOf(certificate: Buffer): number {
  try {
    const [whole] = elementsOf(certificate);
    const [signed] = elementsOf(whole!.content);
    const extensions = elementsOf(signed!.content).find(({ tag }) => tag === tags.extensions);
    if (!extensions) return Number.POSITIVE_INFINITY;
    for (const { content } of elementsOf(elementsOf(extensions.content)[0]!.content)) {
      const parts = elementsOf(content);
      if (parts[0]?.tag !== tags.oid || !parts[0].content.equals(basicConstraints)) continue;
      const value = parts.find(({ tag }) => tag === tags.octets);
      const [constraints] = elementsOf(value!.content);
      const length = elementsOf(constraints!.content).find(({ tag }) => tag === tags.integer);
      return length ? readLength(length.content) : Number.POSITIVE_INFINITY;
    }
    return Number.POSITIVE_INFINITY;
  } catch {
    return -1;
  }
}

/** -1 for a number below zero; one too large to be reached is as large as this counts. */
function readLength(octets: Buffer): number {
  if (octets.length === 0 || octets[0]! >= 0x80) return -1;
  return octets.length > 4 ? 0xffffffff : octets.readUIntBE(0, octets.length);
}

/** The elements that lie side by side in these octets. @throws where they are cut off */
function elementsOf(octets: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < octets.length; ) {
    const tag = octets.readUInt8(at++);
    let length = octets.readUInt8(at++);
    if (length > 0x80) {
      const size = length & 0x7f;
      length = octets.readUIntBE(at, size);
      at += size;
    }
    if (at + length > octets.length) throw new RangeError("the element is cut off");
    elements.push({ tag, content: octets.subarray(at, at + length) });
    at += length;
  }
  return elements;
}
