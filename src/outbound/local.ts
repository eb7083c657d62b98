/**
 * Local delivery: recipients whose next hop is a Maildir, the drop folder, an LMTP server or a program behind HTTP. Sinks at onLocalDelivery are asked for
 * each of them first. They see a copy of the message: what they edit is what this recipient gets, in this attempt; the envelope stays.
 */
import type { Dispatcher } from "../events/dispatcher.ts";
import type { Sink } from "../events/sink.ts";
import { proceed, type Verdict } from "../events/verdict.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import { parseFolder } from "../mail/maildir-folder.ts";
import { Message } from "../mail/message.ts";
import type { NextHop } from "../mail/next-hop.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";
import type { Outcome } from "../queue/attempt.ts";
import { copyApart } from "../queue/copy-apart.ts";
import type { Quarantine } from "../queue/ports.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import { type DropFolder, DropFull } from "./drop.ts";
import type { HttpDelivery } from "./http-delivery.ts";
import type { LmtpDelivery } from "./lmtp.ts";
import { LocalSubject } from "./local-subject.ts";
import { MailboxFull, type MaildirStore } from "./maildir.ts";

export type LocalHop = Extract<NextHop, { readonly kind: "maildir" | "drop" | "lmtp" | "http" }>;

/** What one group of recipients is to be given to one next hop. */
export interface LocalWork {
  readonly hop: LocalHop;
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  /** Fires when nobody waits for it any more. */
  readonly signal?: AbortSignal;
}

export interface LocalDeliveryOptions {
  readonly events: Pick<Dispatcher, "ask" | "bindingsOf">;
  readonly log: Log;
  readonly maildirs: Pick<MaildirStore, "deliver">;
  readonly drop: Pick<DropFolder, "deliver">;
  readonly lmtp: Pick<LmtpDelivery, "deliver">;
  readonly http: Pick<HttpDelivery, "deliver">;
  /** Badmail. Messages it is given have ids of their own. */
  readonly quarantine: Quarantine;
  /** Whose Maildir a recipient's is; absent: his own. */
  readonly mailboxOf?: (recipient: StoredRecipient) => Mailbox;
}

/** The server's own sink at onLocalDelivery: shows in listings where delivery itself has its place. It is done when all have been asked. */
export const localDelivery: Sink = { name: "local-delivery", onLocalDelivery: () => proceed };

/** A recipient's mail as it is delivered. */
interface Parcel {
  readonly recipient: StoredRecipient;
  readonly message: Message;
  readonly folder: string | null;
}

/** Recipients of one message that are asked about, or written, at one time. */
const atOnceMax = 10;

export class LocalDelivery {
  readonly #options: LocalDeliveryOptions;

  constructor(options: LocalDeliveryOptions) {
    this.#options = options;
  }

  /** One attempt; an outcome for each recipient. Never throws. */
  async deliver(work: LocalWork): Promise<Outcome[]> {
    // The server's own sink has nothing to say: for it alone no copy is made.
    const isAsked = this.#options.events.bindingsOf("onLocalDelivery").some(({ source }) => source !== "server");
    const parcels: Parcel[] = [];
    const outcomes: Outcome[] = [];
    if (isAsked) {
      const answers = await sideBySide(work.recipients, (recipient) => this.#ask(work, recipient));
      for (const answer of answers) "recipient" in answer ? parcels.push(answer) : outcomes.push(answer);
    } else {
      for (const recipient of work.recipients)
        parcels.push({ recipient, message: work.message, folder: this.#folderOf(work, recipient) });
    }
    return [...outcomes, ...(await this.#hand(work, parcels))];
  }

  async #ask(work: LocalWork, recipient: StoredRecipient): Promise<Parcel | Outcome> {
    const { hop, message, attemptId } = work;
    const before = message.snapshot();
    const { id, receivedAt, origin } = message;
    const copy = new Message({ ...before, id, receivedAt, origin });
    const subject = new LocalSubject({
      message: copy,
      attemptId,
      forwardPath: recipient.mailbox,
      nextHop: hop,
      folder: this.#folderOf(work, recipient),
    });
    try {
      const verdict = await this.#options.events.ask("onLocalDelivery", subject);
      copy.envelope = before.envelope;
      const { folder, consumed } = subject;
      if (consumed) {
        this.#log(
          work,
          recipient,
          verdict.kind === "proceed" ? "consumed" : "consumed, and no verdict changes it",
          consumed.by,
        );
        return delivered(recipient, "sink", consumed.words);
      }
      if (verdict.kind !== "proceed") return await this.#settle(work, recipient, copy, verdict);
      const isEdited =
        copy.header !== before.header || copy.separator !== before.separator || copy.body !== before.body;
      return { recipient, message: isEdited ? copy : message, folder };
    } catch (error) {
      return deferred(recipient, nameOf(hop), `cannot settle what sinks decided: ${describeThrown(error)}`, "4.3.0");
    } finally {
      copy.revoke();
    }
  }

  /** What a verdict makes of a recipient. */
  async #settle(work: LocalWork, recipient: StoredRecipient, copy: Message, verdict: Verdict): Promise<Outcome> {
    const { index } = recipient;
    const nextHop = nameOf(work.hop, recipient.mailbox);
    switch (verdict.kind) {
      case "refuse":
      case "defer":
      case "drop": {
        const { code, status, text, by } = verdict;
        const isFinal = verdict.kind === "refuse";
        const reason = `${isFinal ? "refused" : "deferred"} by ${by ?? "a sink at onLocalDelivery"}`;
        const reply = { code, status, text };
        return { index, kind: isFinal ? "failed" : "deferred", nextHop, reply, status, reason };
      }
      case "discard":
        this.#log(work, recipient, `discarded: ${verdict.reason}`, verdict.by);
        // Nobody has it, so nobody is told that it arrived.
        return { ...delivered(recipient, nextHop, `discarded: ${verdict.reason}`), dsnPassedOn: true };
      case "quarantine": {
        // Of several recipients each may have his copy there.
        const kept = copyApart(copy, [plainRecipient(recipient)]);
        await this.#options.quarantine(kept, { reason: verdict.reason, binding: verdict.by ?? null });
        this.#log(work, recipient, `quarantined as ${kept.id}: ${verdict.reason}`, verdict.by);
        return { ...delivered(recipient, nextHop, `quarantined as ${kept.id}: ${verdict.reason}`), dsnPassedOn: true };
      }
      case "proceed":
        throw new Fault("sink.failed", "Cannot settle a delivery to which nobody objects");
    }
  }

  async #hand({ hop, attemptId, signal }: LocalWork, parcels: readonly Parcel[]): Promise<Outcome[]> {
    if (parcels.length === 0) return [];
    if (hop.kind === "maildir") return sideBySide(parcels, (parcel) => this.#toMaildir(parcel, signal));
    // Who gets the same gets it together.
    const groups = new Map<Message, StoredRecipient[]>();
    for (const { message, recipient } of parcels) {
      const group = groups.get(message);
      if (group) group.push(recipient);
      else groups.set(message, [recipient]);
    }
    const given = { attemptId, ...(signal && { signal }) };
    const outcomes = await sideBySide([...groups], async ([message, recipients]) => {
      if (signal?.aborted) return recipients.map((recipient) => deferred(recipient, nameOf(hop), outOfTime, "4.4.5"));
      if (hop.kind === "drop") return this.#toDrop(message, recipients);
      if (hop.kind === "lmtp") return this.#options.lmtp.deliver({ ...given, server: hop.server, message, recipients });
      return this.#options.http.deliver({ ...given, url: hop.url, message, recipients });
    });
    return outcomes.flat();
  }

  async #toMaildir({ recipient, message, folder }: Parcel, signal: AbortSignal | undefined): Promise<Outcome> {
    const { mailbox } = recipient;
    const nextHop = `maildir:${formatMailbox(mailbox)}`;
    if (signal?.aborted) return deferred(recipient, nextHop, outOfTime, "4.4.5");
    const owner = this.#options.mailboxOf?.(recipient) ?? mailbox;
    try {
      await this.#options.maildirs.deliver(message, mailbox, { owner, folder });
    } catch (error) {
      if (error instanceof MailboxFull && error.never)
        return { index: recipient.index, kind: "failed", nextHop, reply: null, reason: error.message, status: "5.2.3" };
      if (error instanceof MailboxFull) return deferred(recipient, nextHop, error.message, "4.2.2");
      // The disk is the operator's to mend: the sender hears nothing of it until the mail is given up.
      return deferred(recipient, nextHop, `cannot write to the Maildir: ${describeThrown(error)}`, diskStatus(error));
    }
    return delivered(recipient, nextHop, `written to the Maildir${folder === null ? "" : `, folder ${folder}`}`);
  }

  async #toDrop(message: Message, recipients: readonly StoredRecipient[]): Promise<Outcome[]> {
    try {
      await this.#options.drop.deliver(message, recipients);
    } catch (error) {
      if (error instanceof DropFull)
        return recipients.map((recipient) => deferred(recipient, "drop", error.message, "4.3.1"));
      const reason = `cannot write to the drop folder: ${describeThrown(error)}`;
      return recipients.map((recipient) => deferred(recipient, "drop", reason, diskStatus(error)));
    }
    return recipients.map((recipient) => delivered(recipient, "drop", "written to the drop folder"));
  }

  /** The folder a sink chose for him when the message came. One that is no folder is no reason to lose mail: it is the inbox then. */
  #folderOf({ message }: LocalWork, { mailbox, options }: StoredRecipient): string | null {
    if (options?.folder === undefined) return null;
    try {
      return parseFolder(options.folder);
    } catch (error) {
      const reason = describeThrown(error);
      this.#options.log.warn("delivery.no-such-folder", { message: message.id, to: formatMailbox(mailbox), reason });
      return null;
    }
  }

  #log(
    { message, attemptId }: LocalWork,
    { mailbox }: StoredRecipient,
    decision: string,
    by: string | undefined,
  ): void {
    const facts = { message: message.id, attempt: attemptId, to: formatMailbox(mailbox), decision, binding: by };
    this.#options.log.info("delivery.decided", facts);
  }
}

const outOfTime = "the attempt's time was over";

function nameOf(hop: LocalHop, mailbox?: Mailbox): string {
  return hop.kind === "maildir" && mailbox ? `maildir:${formatMailbox(mailbox)}` : hop.kind;
}

function plainRecipient({ mailbox, options }: StoredRecipient): { mailbox: Mailbox; options?: typeof options & {} } {
  return options ? { mailbox, options } : { mailbox };
}

function delivered({ index }: StoredRecipient, nextHop: string, reason: string): Outcome {
  return { index, kind: "delivered", nextHop, reply: null, reason, status: "2.0.0" };
}

function deferred({ index }: StoredRecipient, nextHop: string, reason: string, status: string): Outcome {
  return { index, kind: "deferred", nextHop, reply: null, reason, status };
}

/** RFC 3463 §3.4: a full disk, or another trouble of our own. */
function diskStatus(error: unknown): string {
  const code =
    error instanceof Fault && error.code === "spool.full" ? "ENOSPC" : (error as NodeJS.ErrnoException)?.code;
  return code === "ENOSPC" || code === "EDQUOT" ? "4.3.1" : "4.3.0";
}

/** All of it, a few at a time, in their order. */
async function sideBySide<Item, Done>(items: readonly Item[], work: (item: Item) => Promise<Done>): Promise<Done[]> {
  const done: Done[] = [];
  let next = 0;
  const goOn = async () => {
    for (let at = next++; at < items.length; at = next++) done[at] = await work(items[at]!);
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, goOn));
  return done;
}
