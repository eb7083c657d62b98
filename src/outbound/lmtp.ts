/**
 * Delivery over LMTP to servers of the mailboxes, by TCP or a socket of this machine: the SMTP client's conversation, with a reply for each recipient.
 * RFC 2033.
 */
import type { Message } from "../mail/message.ts";
import { formatNextHop, type NextHop } from "../mail/next-hop.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import type { Smarthost } from "./next-hop.ts";
import { SmtpClient, type SmtpClientOptions } from "./smtp.ts";

export interface LmtpWork {
  readonly server: Extract<NextHop, { readonly kind: "lmtp" }>["server"];
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  readonly signal?: AbortSignal;
}

export type LmtpDeliveryOptions = Omit<SmtpClientOptions, "smarthost" | "tlsPolicy">;

/** Servers whose connections are kept; of more the one that was used longest ago is left. */
const serversMax = 16;

export class LmtpDelivery {
  readonly #options: LmtpDeliveryOptions;
  /** By next hop, the one used last at the end. */
  readonly #clients = new Map<string, SmtpClient>();
  /** Left, and not done yet. */
  readonly #retired = new Set<SmtpClient>();

  constructor(options: LmtpDeliveryOptions) {
    this.#options = options;
  }

  /** One attempt; an outcome for each recipient. Never throws. */
  async deliver({ server, ...work }: LmtpWork): Promise<Outcome[]> {
    const nextHop = formatNextHop({ kind: "lmtp", server });
    const client = this.#clients.get(nextHop) ?? new SmtpClient({ ...this.#options, smarthost: smarthostOf(server) });
    this.#clients.delete(nextHop);
    this.#clients.set(nextHop, client);
    this.#leaveOldest();
    const tried = await client.attempt(work);
    return tried.map(({ outcome }) => ({ ...outcome, nextHop }));
  }

  /** Ends every connection; attempts under way are deferred. */
  close(): void {
    for (const client of [...this.#clients.values(), ...this.#retired]) client.close();
  }

  #leaveOldest(): void {
    for (const [nextHop, client] of this.#clients) {
      if (this.#clients.size <= serversMax) return;
      this.#clients.delete(nextHop);
      this.#retired.add(client);
      client.retire(() => this.#retired.delete(client));
    }
  }
}

/** TLS where a server offers it: who serves mailboxes beside us has seldom a certificate that proves a name. On a socket there is nobody to hide from. */
function smarthostOf(server: LmtpWork["server"]): Smarthost {
  if ("socket" in server) return { host: "localhost", port: 0, socket: server.socket, protocol: "lmtp", tls: "off" };
  return { ...server, protocol: "lmtp", tls: "opportunistic" };
}
