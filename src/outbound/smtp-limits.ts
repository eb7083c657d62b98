/** How long a peer may take, and how much it may say. RFC 5321 §4.5.3.2. */
export interface ConnectionLimits {
  /** The look-up of the name and the connection; the TLS handshake has as long again. */
  readonly connectMsMax: number;
  /** Greeting, and the reply to EHLO, MAIL, RCPT and whatever has no limit of its own. RFC 5321 §4.5.3.2.1 to .3. */
  readonly replyMsMax: number;
  /** 354. RFC 5321 §4.5.3.2.4. */
  readonly dataMsMax: number;
  /** A block of mail data that the peer does not take. RFC 5321 §4.5.3.2.5. */
  readonly blockMsMax: number;
  /** The reply to the end of data. RFC 5321 §4.5.3.2.6. */
  readonly endOfDataMsMax: number;
  /** The reply to QUIT; then the connection is closed without it. */
  readonly quitMsMax: number;
  /** A whole transaction, beside what its size needs. */
  readonly transactionMsMax: number;
  /** Least speed at which we wait for a message to be taken, in octets a second. */
  readonly octetsPerSecondMin: number;
  /** Octets of one reply. */
  readonly replyOctetsMax: number;
}

export const connectionLimits: ConnectionLimits = {
  connectMsMax: 2 * 60_000,
  replyMsMax: 5 * 60_000,
  dataMsMax: 2 * 60_000,
  blockMsMax: 3 * 60_000,
  endOfDataMsMax: 10 * 60_000,
  quitMsMax: 1_000,
  transactionMsMax: 20 * 60_000,
  octetsPerSecondMin: 1_024,
  replyOctetsMax: 64 * 1024,
};
