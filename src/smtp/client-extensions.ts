/** What a server announced in its reply to EHLO, and the limits it says it has. RFC 5321 §4.1.1.1, RFC 9422. Pure. */

/** Keyword in upper case to what stands behind it. */
export type Extensions = ReadonlyMap<string, string>;

export const noExtensions: Extensions = new Map();

/** Reads the lines of a reply to EHLO; the first is the server's name. A line that is no keyword is passed over. */
export function readExtensions(lines: readonly string[]): Extensions {
  const extensions = new Map<string, string>();
  for (const line of lines.slice(1)) {
    // (lenient: "AUTH=PLAIN LOGIN" is how some old servers said it.)
    const match = /^([A-Za-z0-9][A-Za-z0-9-]{0,63})(?:[ =]+(.*))?$/.exec(line);
    if (!match) continue;
    const keyword = match[1]!.toUpperCase();
    const before = extensions.get(keyword);
    const value = match[2]?.trim() ?? "";
    extensions.set(keyword, before === undefined ? value : `${before} ${value}`.trim());
  }
  return extensions;
}

/** Bounds a server has for a session and a transaction; Infinity where it says none. */
export interface PeerLimits {
  /** Transactions of one session. */
  readonly transactionsMax: number;
  /** Recipients of one transaction. */
  readonly recipientsMax: number;
  /** Different domains among them. */
  readonly domainsMax: number;
  /** Octets of a message. RFC 1870 §4. */
  readonly sizeOctetsMax: number;
}

export function readLimits(extensions: Extensions): PeerLimits {
  const limits = new Map<string, number>();
  for (const word of (extensions.get("LIMITS") ?? "").split(/\s+/)) {
    // RFC 9422 §4: six digits at most, no zero. What is none is passed over.
    const match = /^([A-Z0-9-]+)=([1-9]\d{0,5})$/i.exec(word);
    if (match) limits.set(match[1]!.toUpperCase(), Number(match[2]));
  }
  const none = Number.POSITIVE_INFINITY;
  const size = /^\d{1,20}$/.exec(extensions.get("SIZE") ?? "")?.[0];
  return {
    transactionsMax: limits.get("MAILMAX") ?? none,
    recipientsMax: limits.get("RCPTMAX") ?? none,
    domainsMax: limits.get("RCPTDOMAINMAX") ?? none,
    sizeOctetsMax: Number(size ?? 0) || none,
  };
}
