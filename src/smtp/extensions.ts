/** Service extensions: what the reply to EHLO and LHLO says, a keyword and its parameters each. RFC 5321 §4.1.1.1. Pure. */
import { peerAttributes } from "./peer-attributes.ts";
import type { ServerSettings } from "./server-settings.ts";

/** Keywords to offer, behind our name. */
export function offeredKeywords(
  settings: ServerSettings,
  { secure, authenticated }: { readonly secure: boolean; readonly authenticated: boolean },
): string[] {
  const mechanisms = authenticated ? [] : settings.mechanisms();
  return [
    "PIPELINING", // RFC 2920
    `SIZE ${settings.sizeOctetsMax}`, // RFC 1870
    "8BITMIME", // RFC 6152
    "SMTPUTF8", // RFC 6531
    "ENHANCEDSTATUSCODES", // RFC 2034
    "CHUNKING", // RFC 3030 §2
    ...(settings.binaryMime ? ["BINARYMIME"] : []), // RFC 3030 §3
    "DSN", // RFC 3461
    ...(settings.protocol === "smtp" ? ["PRDR"] : []), // draft-hall-prdr; LMTP has it by itself
    `LIMITS RCPTMAX=${settings.recipientsMax}`, // RFC 9422
    ...(settings.startTls && !secure ? ["STARTTLS"] : []), // RFC 3207
    ...(secure ? ["REQUIRETLS"] : []), // RFC 8689 §2
    ...(mechanisms.length > 0 ? [`AUTH ${mechanisms.join(" ")}`] : []), // RFC 4954
    ...(settings.xclient ? [`XCLIENT ${peerAttributes.XCLIENT.join(" ")}`] : []), // not registered
    ...(settings.xforward ? [`XFORWARD ${peerAttributes.XFORWARD.join(" ")}`] : []), // not registered
  ];
}
