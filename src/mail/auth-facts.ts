/**
 * What SPF, DKIM, DMARC and ARC said of a message when it came in: plain data, JSON, stored with the message. The words are those of RFC 8601 §2.7.
 * How they are found out is the entrance's affair (inbound/verify.ts); how they are written into a field stands in authentication-results.ts.
 */

export const spfResults = ["pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"] as const;
export const dkimResults = ["pass", "fail", "neutral", "policy", "none", "temperror", "permerror"] as const;
export const dmarcResults = ["pass", "fail", "none", "temperror", "permerror"] as const;
export const arcResults = ["pass", "fail", "none", "temperror"] as const;
export const iprevResults = ["pass", "fail", "temperror", "permerror"] as const;

/** RFC 7208. */
export interface SpfFacts {
  readonly result: (typeof spfResults)[number];
  /** The domain that was asked: the reverse-path's, or for `<>` the HELO name. RFC 7208 §2.4. */
  readonly domain: string;
  readonly identity: "mailfrom" | "helo";
}

/** One DKIM signature. RFC 6376. */
export interface DkimFacts {
  readonly result: (typeof dkimResults)[number];
  /** Whose signature it says it is: `d=`. */
  readonly domain: string;
  readonly selector: string;
  /** `rsa-sha256`, `ed25519-sha256`. */
  readonly algorithm: string;
  /** First characters of the signature: they tell two by the same domain apart. RFC 6008. */
  readonly signature: string;
  /** Whether it speaks for the From field's domain, as DMARC wants it. */
  readonly aligned: boolean;
  /** In our words or the library's; empty where there is nothing to say. */
  readonly reason: string;
}

/** RFC 9989. */
export interface DmarcFacts {
  readonly result: (typeof dmarcResults)[number];
  /** The From field's domain; empty where it has none, or several. */
  readonly domain: string;
  /** What the domain asks for in mail that fails; null where it asks for nothing, or that is not known. */
  readonly policy: "none" | "quarantine" | "reject" | null;
  /** What passed and speaks for that domain. */
  readonly alignedBy: readonly ("spf" | "dkim")[];
  readonly reason: string;
}

/** RFC 8617. */
export interface ArcFacts {
  readonly result: (typeof arcResults)[number];
  /** Who sealed it, the first one first; empty where the chain cannot be read. */
  readonly sealers: readonly string[];
}

/** The client's name in DNS, believed only where it leads back to the address. RFC 8601 §2.7.3. */
export interface IprevFacts {
  readonly result: (typeof iprevResults)[number];
  /** null unless `pass`. */
  readonly host: string | null;
}

export interface AuthFacts {
  readonly spf: SpfFacts;
  /** From the top of the header; empty where there is no signature. */
  readonly dkim: readonly DkimFacts[];
  readonly dmarc: DmarcFacts;
  readonly arc: ArcFacts;
  readonly iprev: IprevFacts;
}

/** Each mechanism's result in one word, for a log line; of several signatures the best. */
export function authSummary({ spf, dkim, dmarc, arc }: AuthFacts): Readonly<Record<string, string>> {
  const signature = dkim.find(({ result }) => result === "pass") ?? dkim[0];
  return { spf: spf.result, dkim: signature?.result ?? "none", dmarc: dmarc.result, arc: arc.result };
}
