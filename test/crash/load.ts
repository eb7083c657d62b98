/**
 * Load for the crash tests: several sessions that send messages without end and keep a journal. A message is journalled as accepted only after
 * the whole `250` line to its end-of-data was read (RELIABILITY §6). No message is ever sent twice: a lost reply leaves it in doubt for good.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { SmtpClient, type Submission } from "../support/smtp-client.ts";

/** What a client knows of a message the server took. */
export interface Accepted {
  readonly marker: string;
  /** From the server's words: `queued as <id>`. */
  readonly id: string;
  /** Where a copy each has to end; see places.ts. */
  readonly places: readonly string[];
  readonly bodyHash: string;
  readonly bodyOctets: number;
}

export interface Journal {
  readonly accepted: Accepted[];
  /** Answered 4yz or 5yz: nobody may ever get these. */
  readonly refused: { readonly marker: string; readonly reply: string }[];
  /** Sent whole or in part, without an answer: may be delivered or not. */
  readonly inDoubt: string[];
}

/** Body size above which the spool keeps a body in a file of its own. */
const largeBodyOctets = 256 * 1024;

/** Accepts and edits every message but those that ask, in their subject, to be refused or deferred. */
export const editingScript = `import type { ArrivalHandler } from "onarrival";

export const onArrival: ArrivalHandler = (mail) => {
  if (mail.subject.startsWith("refuse ")) return mail.refuse("Not this one");
  if (mail.subject.startsWith("defer ")) return mail.defer("Not now");
  mail.headers.add("X-Edited", mail.headers.get("X-Marker") ?? "");
  mail.subject = \`[seen] \${mail.subject}\`;
};
`;

/** Somebody the load writes to, and where that ends. */
export interface Addressee {
  readonly to: readonly string[];
  readonly places: readonly string[];
}

/** The mailboxes of a local domain: one of them, or now and then two. */
export function mailboxesOf(domain: string): readonly Addressee[] {
  const one = (user: string): Addressee => ({ to: [`${user}@${domain}`], places: [user] });
  const users = ["ada", "grace", "alan", "edsger"];
  const two: Addressee = { to: [`ada@${domain}`, `grace@${domain}`], places: ["ada", "grace"] };
  return [...users.map(one), two];
}

export interface LoadOptions {
  readonly port: number;
  readonly sessions: number;
  /** Makes sizes and kinds the same in every run. */
  readonly seed: number;
  /** Ends by itself after so many messages; without it `stop` ends it. */
  readonly messagesMax?: number;
  /** Each as likely as the others. Default: the mailboxes of example.test. */
  readonly addressees?: readonly Addressee[];
  /** Default sender@example.org. */
  readonly from?: string;
  /** Finds the id in the words of the 250. Default: ours. */
  readonly idPattern?: RegExp;
  /** Whether some messages ask to be refused or deferred, as `editingScript` does. Default true. */
  readonly asksForRefusals?: boolean;
  /** Pause of a session between two messages. Default none. */
  readonly pauseMs?: number;
}

const ourId = /queued as ([0-9A-Z]{16})$/;

export class Load {
  readonly journal: Journal = { accepted: [], refused: [], inDoubt: [] };
  readonly #options: LoadOptions;
  readonly #random: () => number;
  #count = 0;
  #stopped = false;
  #sessions: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = createRandom(options.seed);
  }

  start(): void {
    this.#sessions = Promise.all(Array.from({ length: this.#options.sessions }, () => this.#session()));
  }

  /** Every message has its answer, or will never have one, once this resolves. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#sessions;
  }

  /** Waits for a load of `messagesMax` messages. */
  async finished(): Promise<void> {
    await this.#sessions;
  }

  #over(): boolean {
    return this.#stopped || this.#count >= (this.#options.messagesMax ?? Number.POSITIVE_INFINITY);
  }

  async #session(): Promise<void> {
    while (!this.#over()) {
      let client: SmtpClient | undefined;
      try {
        client = await SmtpClient.connect(this.#options.port);
        while (!this.#over()) {
          await this.#sendOne(client);
          if (this.#options.pauseMs) await sleep(this.#options.pauseMs);
        }
        await client.quit();
      } catch {
        // The server went away: that is what the test is about.
        client?.close();
        await sleep(5);
      }
    }
  }

  async #sendOne(client: SmtpClient): Promise<void> {
    const message = composeMessage(`m${this.#options.seed}-${this.#count++}`, this.#random, this.#options);
    let sent = false;
    try {
      const reply = await client.send(message.submission, () => (sent = true));
      if (reply.code === 250) {
        const id = (this.#options.idPattern ?? ourId).exec(reply.text)?.[1];
        if (id === undefined) throw new Error(`Cannot read the id in the reply: ${reply.text}`);
        this.journal.accepted.push({ ...message, id });
      } else {
        this.journal.refused.push({ marker: message.marker, reply: `${reply.code} ${reply.text}` });
      }
    } catch (error) {
      if (sent) this.journal.inDoubt.push(message.marker);
      throw error;
    }
  }
}

/** Header and body of one message; a few are large, or ask to be refused. */
export function composeMessage(
  marker: string,
  random: () => number,
  options: Pick<LoadOptions, "addressees" | "from" | "asksForRefusals">,
): Omit<Accepted, "id"> & { readonly submission: Submission } {
  const { addressees = mailboxesOf("example.test"), from = "sender@example.org", asksForRefusals = true } = options;
  const kind = random();
  const wish = !asksForRefusals ? "" : kind < 0.02 ? "refuse " : kind < 0.04 ? "defer " : "";
  const { to, places } = addressees[Math.floor(random() * addressees.length)]!;
  const bodyOctets =
    random() < 0.06 ? largeBodyOctets + Math.floor(random() * 200_000) : 200 + Math.floor(random() * 6_000);
  const body = Buffer.from(`${marker}\r\n${filler.slice(0, bodyOctets).trimEnd()}\r\n`);
  const header = [
    `From: Sender <${from}>`,
    `To: ${to.join(", ")}`,
    `Subject: ${wish}${marker}`,
    `Message-ID: <${marker}@client.example>`,
    `X-Marker: ${marker}`,
    "Date: Thu, 01 Jan 2026 12:00:00 +0000",
  ];
  return {
    marker,
    places,
    bodyHash: hashBody(body),
    bodyOctets: body.length,
    submission: {
      from,
      to,
      data: Buffer.concat([Buffer.from(`${header.join("\r\n")}\r\n\r\n`), body]),
    },
  };
}

export function hashBody(body: Buffer): string {
  return createHash("sha256").update(body).digest("hex");
}

/** Lines of 70 characters that differ from one another, some with a leading dot (RFC 5321 §4.5.2). */
const filler = Array.from({ length: 7_000 }, (_, line) =>
  `${line % 17 === 0 ? "." : ""}line ${line} `.padEnd(70, "abcdefghij"),
).join("\r\n");

/** Mulberry32: the same numbers for the same seed. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
