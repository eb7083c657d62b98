/** What a listener offers its clients; extensions.ts says which of it EHLO is told. */

export interface ServerSettings {
  readonly hostname: string;
  /** LMTP: LHLO in the place of EHLO, a reply for each recipient at the end of data. RFC 2033. */
  readonly protocol: "smtp" | "lmtp";
  readonly sizeOctetsMax: number;
  readonly recipientsMax: number;
  /** Whether STARTTLS can be had. RFC 3207. */
  readonly startTls: boolean;
  /** Whether BODY=BINARYMIME is taken. RFC 3030 §3. */
  readonly binaryMime: boolean;
  /** Whether the peer may speak for its client. */
  readonly xclient: boolean;
  readonly xforward: boolean;
  /** SASL mechanisms to offer, where they may be offered now. */
  readonly mechanisms: () => readonly string[];
  /** Errors of syntax and order before the connection is closed. */
  readonly errorsMax: number;
  /** Commands that lead nowhere (NOOP, RSET, VRFY, HELP …) since the last message, before the connection is closed. */
  readonly idleCommandsMax: number;
  /** Whether a `command` step is wanted before each command is carried out. Asked each time. */
  readonly watchesCommands: () => boolean;
  /** Whether a `reply` step is wanted before each reply is written. Asked each time. */
  readonly watchesReplies: () => boolean;
}
