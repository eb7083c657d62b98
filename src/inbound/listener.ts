/** A listener: where clients connect. Two engines make one; what happens behind it is the reception's affair, whichever engine speaks. */
import type { Networks } from "../events/network.ts";
import type { Session } from "../events/subject.ts";

export interface ListenerOptions {
  readonly name: string;
  readonly address: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly role: Session["role"];
  /** Our own name, said in the greeting and in Received fields. */
  readonly hostname: string;
  readonly lineEnds: "refuse" | "normalize";
  /** Whether BODY=BINARYMIME is taken. RFC 3030 §3. */
  readonly binaryMime: boolean;
  /** Whose mail is checked by SPF, DKIM, DMARC and ARC; absent: nobody's. See `shouldVerify`. */
  readonly verify?: "off" | "public" | "all";
  /** Without it there is no TLS. */
  readonly tls?: ListenerTls;
  readonly auth: {
    /** SASL mechanisms to offer where somebody is bound to onAuth. */
    readonly mechanisms: readonly string[];
    /** Offers them without TLS too. */
    readonly inClear: boolean;
  };
  /** Peers that may speak for their clients, or (`results`) for us. */
  readonly trusted: {
    readonly proxy: Networks;
    readonly xclient: Networks;
    readonly xforward: Networks;
    readonly results: Networks;
  };
  readonly limits: ListenerLimits;
}

/** PEM texts. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface ListenerTls extends Certificate {
  /** `implicit` begins with the handshake. RFC 8314 §3. */
  readonly mode: "starttls" | "implicit";
  /** Asks clients for a certificate of theirs; none is needed. */
  readonly askCertificate: boolean;
  /** For clients that ask for a name in them. RFC 6066 §3. */
  readonly more: readonly Certificate[];
  /** Tells of certificates that take the place of these; absent: these stay. */
  readonly renewals?: Renewals;
}

/** A listener's certificates at one moment. */
export interface CertificateSet extends Certificate {
  readonly more: readonly Certificate[];
}

/** Where handshakes hear of other certificates. */
export interface Renewals {
  /** Called with each set that takes the place of the one before. */
  onRenewed(take: (next: CertificateSet) => void): void;
}

export interface ListenerLimits {
  readonly sizeOctetsMax: number;
  readonly recipientsMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerClientMax: number;
  /** For a whole command. RFC 5321 §4.5.3.2.7. */
  readonly idleTimeoutMs: number;
  /** For a block of mail data. RFC 5321 §4.5.3.2.5. */
  readonly dataTimeoutMs: number;
  /** Of mail data, on average; 0 is none. */
  readonly dataOctetsPerSecondMin: number;
  readonly handshakeTimeoutMs: number;
  /** For the sinks of one command, all together. */
  readonly decisionTimeoutMs: number;
  readonly errorsMax: number;
  readonly idleCommandsMax: number;
}

export interface Listener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly sessions: number;
  /** Takes no new connection; lets transactions in hand finish until `deadlineMs` has passed, then closes with 421. */
  close(deadlineMs: number): Promise<void>;
}

/** An address as Node has it, without the IPv6 form of an IPv4 one. RFC 4291 §2.5.5.2. */
export function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/i, "");
}
