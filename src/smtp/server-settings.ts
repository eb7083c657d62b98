/** What a listener offers its clients. */

export interface ServerSettings {
  readonly hostname: string;
  readonly sizeOctetsMax: number;
  readonly recipientsMax: number;
  /** Whether STARTTLS can be had. */
  readonly tls: boolean;
  /** SASL mechanisms to offer, where they may be offered now. */
  readonly mechanisms: () => readonly string[];
  /** Errors of syntax and order before the connection is closed. */
  readonly errorsMax: number;
}

/** Keywords of the reply to EHLO, behind our name. RFC 5321 §4.1.1.1. */
export function offeredExtensions(
  { sizeOctetsMax, recipientsMax, tls, mechanisms }: ServerSettings,
  { secure, authenticated }: { readonly secure: boolean; readonly authenticated: boolean },
): string[] {
  const offered = mechanisms();
  return [
    "PIPELINING", // RFC 2920
    `SIZE ${sizeOctetsMax}`, // RFC 1870
    "8BITMIME", // RFC 6152
    "SMTPUTF8", // RFC 6531
    "ENHANCEDSTATUSCODES", // RFC 2034
    "CHUNKING", // RFC 3030
    `LIMITS RCPTMAX=${recipientsMax}`, // RFC 9422
    ...(tls && !secure ? ["STARTTLS"] : []), // RFC 3207
    ...(offered.length > 0 && !authenticated ? [`AUTH ${offered.join(" ")}`] : []), // RFC 4954
  ];
}
