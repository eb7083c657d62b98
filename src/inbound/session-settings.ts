/** What a listener's options mean for the SMTP session of one client. */
import type { ServerSettings } from "../smtp/server-settings.ts";
import type { ListenerOptions } from "./listener.ts";
import type { Reception } from "./reception.ts";
import type { InboundSession } from "./session.ts";

export function settingsOf(options: ListenerOptions, session: InboundSession, reception: Reception): ServerSettings {
  const { limits, trusted, auth } = options;
  return {
    hostname: options.hostname,
    protocol: options.role === "lmtp" ? "lmtp" : "smtp",
    sizeOctetsMax: limits.sizeOctetsMax,
    recipientsMax: limits.recipientsMax,
    startTls: options.tls?.mode === "starttls",
    binaryMime: options.binaryMime,
    // A load balancer that is trusted with PROXY lends its trust to nobody behind it.
    get xclient() {
      return trusted.xclient(session.speaker);
    },
    get xforward() {
      return trusted.xforward(session.speaker);
    },
    // No credentials in the clear, unless told so. RFC 4954 §4.
    mechanisms: () => ((session.tls !== null || auth.inClear) && reception.authenticates ? auth.mechanisms : []),
    errorsMax: limits.errorsMax,
    idleCommandsMax: limits.idleCommandsMax,
    watchesCommands: () => reception.watchesCommands,
    watchesReplies: () => reception.watchesReplies,
  };
}
