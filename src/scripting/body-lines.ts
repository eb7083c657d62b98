/** Lines of a body that is written here: CRLF and nothing else ends one. RFC 5321 §2.3.8. Pure. */

/** Whether a CR, LF or NUL stands alone. */
export function hasBareLineEnd(octets: Buffer): boolean {
  for (let at = octets.indexOf(0x0a); at !== -1; at = octets.indexOf(0x0a, at + 1))
    if (octets[at - 1] !== 0x0d) return true;
  for (let at = octets.indexOf(0x0d); at !== -1; at = octets.indexOf(0x0d, at + 1))
    if (octets[at + 1] !== 0x0a) return true;
  return octets.includes(0);
}
