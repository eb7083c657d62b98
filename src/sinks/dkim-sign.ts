/**
 * Signs the mail of our users, behind every edit: the server's own sink at the end of onPostCategorize. Whose From domain has no key goes out as it is. A key that
 * cannot be used costs the signature, never the mail; where signing takes too long the message is tried again later.
 */

import type { Sink } from "../events/sink.ts";
import { defer, type Verdict } from "../events/verdict.ts";
import { parseAddressList } from "../mail/address-list.ts";
import { hasSignature } from "../mail/dkim-signature.ts";
import { fieldValue, Header } from "../mail/header.ts";
import type { Message, Origin } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import { type Parcel, ThreadPool } from "../platform/thread-pool.ts";
import type { DkimKey, DkimKeys } from "./dkim-keys.ts";
import type { SignResult, SignWork } from "./dkim-worker.ts";

export interface DkimSignOptions {
  readonly keys: Pick<DkimKeys, "keysFor">;
  readonly clock: Clock;
  /** Whether a message is our users' own; others keep what signatures they have. `isOwnMail` unless a test says otherwise. */
  readonly isOurs?: (origin: Origin) => boolean;
  readonly timeoutMs?: number;
  /** The thread's module; another one is for tests. */
  readonly script?: URL;
}

/** Starts its thread with the first message that is signed; `close` ends it. */
export function dkimSign(options: DkimSignOptions): Sink {
  const { keys, clock, isOurs = isOwnMail, timeoutMs = 10_000 } = options;
  const pool = new ThreadPool<SignWork, SignResult>({
    script: options.script ?? new URL("./dkim-worker.ts", import.meta.url),
    clock,
    // One is signed, the next one's octets are there already.
    jobsAtATimeMax: 2,
    timeoutMs,
  });

  async function signWith(message: Message, found: readonly DkimKey[], log: Log): Promise<Verdict | undefined> {
    const signers = found.filter((key) => !hasSignature(message.header, key));
    if (signers.length === 0) return undefined;
    const { header } = message;
    const ran = await pool.run(() => pack(message, signers, clock.now()));
    if (ran.kind === "done") {
      const signatures = ran.result.map((octets) => ({ name: "DKIM-Signature", octets: Buffer.from(octets) }));
      message.header = new Header([...signatures, ...header.fields]);
      return undefined;
    }
    const facts = { message: message.id, domain: signers[0]!.domain, reason: ran.reason };
    if (ran.why === "threw") {
      log.error("dkim.not-signed", facts);
      return undefined;
    }
    log.warn("dkim.deferred", facts);
    return defer("The message cannot be signed for now", { code: 451, status: "4.3.0" });
  }

  return {
    name: "dkim-sign",
    onPostCategorize({ message }, { log, rehearsal }) {
      if (rehearsal || !isOurs(message.origin)) return undefined;
      const domain = authorDomain(message.header);
      if (domain === undefined) return undefined;
      const found = keys.keysFor(domain);
      if (found instanceof Promise) return found.then((some) => signWith(message, some, log));
      return found.length === 0 ? undefined : signWith(message, found, log);
    },
    close: () => pool.close(),
  };
}

/** Where a message of this machine's own comes in, beside its listeners; our reports too. */
const ownEntrances: ReadonlySet<string> = new Set(["pickup", "submit", "sendmail", "dsn"]);

/** What is signed: mail of users who logged in, what was handed in on this machine, and our reports. */
export function isOwnMail({ user, ip, listener }: Origin): boolean {
  return user !== null || (ip === "127.0.0.1" && ownEntrances.has(listener));
}

/**
 * The domain a message is written from; undefined where its header has no From field, or several, or one that cannot be read. Of several authors the first one
 * counts. RFC 5322 §3.6.2.
 */
export function authorDomain({ fields }: Header): string | undefined {
  const [from, ...others] = fields.filter(({ name }) => name.length === 4 && name.toLowerCase() === "from");
  if (!from || others.length > 0) return undefined;
  try {
    return parseAddressList(fieldValue(from))[0]?.domain;
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

function pack({ header, body }: Message, signers: readonly DkimKey[], at: number): Parcel<SignWork> {
  // Copies of their own: what is transferred is gone here, and a slice would bring all of its buffer.
  const head = Uint8Array.from(Buffer.concat([header.octets, Buffer.from("\r\n")]));
  const octets = body.inline ? Uint8Array.from(body.inline) : new Uint8Array();
  const work = {
    header: head,
    body: body.file ?? octets,
    signers: signers.map(({ domain, selector, privateKey }) => ({ domain, selector, privateKey })),
    at,
  };
  return { work, transfer: [head.buffer, octets.buffer] };
}
