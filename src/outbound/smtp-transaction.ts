/**
 * One transaction with a peer: MAIL, RCPT, the message, and an answer for each recipient. Commands go in one piece where the peer offers PIPELINING (RFC
 * 2920) and nobody wants to look at each reply; the message goes by BDAT where it offers CHUNKING (RFC 3030), as one chunk.
 */
import type { EnvelopeOptions, RecipientOptions } from "../mail/envelope.ts";
import { formatMailbox, type Mailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import type { Reply } from "../mail/status.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown } from "../platform/fault.ts";
import { clientCommand } from "../smtp/client-command.ts";
import { MailDataEncoder } from "../smtp/client-data.ts";
import { mailLine, rcptLine } from "../smtp/client-parameters.ts";
import type { PeerReply } from "../smtp/reply-reader.ts";
import { isPermanent, type ReplyStage } from "./peer-reply.ts";
import { Batch } from "./smtp-batch.ts";
import { type Conversation, type Judged, type Ruling, rulingOf } from "./smtp-conversation.ts";
import { PeerFailure } from "./smtp-failure.ts";
import { sendChunk, sendData } from "./smtp-sending.ts";
import { BeforeData, MessageStart, type Passage, PerRecipient, passageOf } from "./smtp-subjects.ts";

export interface TransactionWork {
  readonly message: Message;
  readonly attemptId: string;
  readonly recipients: readonly { readonly mailbox: Mailbox; readonly options?: RecipientOptions }[];
  /** What of the envelope's options is passed on. */
  readonly options: EnvelopeOptions;
  readonly eightBit: boolean;
  readonly international: boolean;
  readonly lmtp: boolean;
}

/** How it went for one recipient. */
export interface Answer {
  readonly kind: "delivered" | "failed" | "deferred";
  readonly reply: Reply | null;
  readonly reason: string;
  readonly status?: string;
  /** It is about the peer and not about the mail: another host may be asked. */
  readonly elsewhere?: true;
}

export interface TransactionResult {
  /** By mailbox as the wire has it. Who has none was not asked about: the transaction has to begin anew for him. */
  readonly answers: ReadonlyMap<string, Answer>;
  /** The peer went, without a word or with 421, before it had begun with the message: it may be old age, and says nothing of the message. */
  readonly gone: boolean;
}

/** Largest message that goes out together with MAIL and RCPT, in octets: what a refusal wastes is no more than a few packets. */
export const eagerChunkOctetsMax = 16_384;

/** Never throws. The connection is closed where it cannot be used again. */
export function transact(talk: Conversation, work: TransactionWork): Promise<TransactionResult> {
  return new Transaction(talk, work).run();
}

interface Recipient {
  readonly key: string;
  readonly mailbox: Mailbox;
  readonly options?: RecipientOptions;
}

/** The transaction is over. Who has no answer yet gets this one; with null he has to be asked about anew. */
class Ending extends Error {
  readonly answer: Answer | null;
  /** What is said to the peer: nothing, RSET, QUIT, or the connection is closed at once. */
  readonly by: "silence" | "reset" | "quit" | "close";

  constructor(answer: Answer | null, by: Ending["by"]) {
    super("the transaction is over");
    this.answer = answer;
    this.by = by;
  }
}

class Transaction {
  readonly #talk: Conversation;
  readonly #work: TransactionWork;
  readonly #recipients: readonly Recipient[];
  readonly #answers = new Map<string, Answer>();
  /** Recipients the peer has taken. */
  readonly #taken: Recipient[] = [];
  /** The reply by which MAIL was refused. */
  #refusal: Judged | undefined;
  /** The reply to a DATA that went along with the recipients. */
  #goAhead: Judged | undefined;
  /** MAIL was agreed to, and the message has no reply yet. */
  #open = false;
  /** The message, or a part of it, may be with the peer. */
  #begun = false;

  constructor(talk: Conversation, work: TransactionWork) {
    this.#talk = talk;
    this.#work = work;
    // A mailbox that is there twice gets the message once.
    const byKey = new Map<string, Recipient>();
    for (const recipient of work.recipients) {
      const key = formatMailbox(recipient.mailbox);
      if (!byKey.has(key)) byKey.set(key, { ...recipient, key });
    }
    this.#recipients = [...byKey.values()];
  }

  async run(): Promise<TransactionResult> {
    const { limits, wire } = this.#talk;
    const { message, attemptId } = this.#work;
    const cancel = wire.deadline(limits.transactionMsMax + (message.sizeOctets / limits.octetsPerSecondMin) * 1_000);
    this.#talk.settleSteps();
    if (this.#talk.stepwise) this.#talk.passage = passageOf(message, attemptId);
    let gone = false;
    try {
      await this.#run();
    } catch (error) {
      if (error instanceof Ending) await this.#end(error);
      else gone = this.#fail(error);
    }
    cancel();
    this.#talk.passage = null;
    // Whatever became of it: where a reply is owed, the next transaction would take it for its own.
    if (wire.owed > 0) wire.close("out of step");
    return { answers: this.#answers, gone };
  }

  async #run(): Promise<void> {
    const talk = this.#talk;
    const { message, options, eightBit, international, lmtp } = this.#work;
    const { extensions } = talk.wire;
    const { reversePath } = message.envelope;
    const facts = { reversePath, options, sizeOctets: message.sizeOctets, eightBit, international };
    const mail = await this.#askMessageStart(mailLine(facts, extensions));

    const batch = new Batch(talk, !extensions.has("PIPELINING") || talk.stepwise);
    await batch.add(clientCommand(mail), "mail", null, (judged) => this.#heardMail(judged));
    if (this.#refusal) throw new Ending(answerToMail(this.#refusal), "silence");
    for (const [index, recipient] of this.#recipients.entries()) {
      const line = await this.#askPerRecipient(rcptLine(recipient, extensions), recipient, index, batch);
      if (line === null) continue;
      const heard = (judged: Judged) => this.#heardRcpt(recipient, judged);
      await batch.add(clientCommand(line), "rcpt", recipient.mailbox, heard);
    }

    if (this.#answers.size === this.#recipients.length) throw new Ending(null, this.#open ? "reset" : "silence");

    // What comes behind the recipients goes along with them where nothing speaks against it.
    const chunking = extensions.has("CHUNKING");
    const along = batch.rcpts > 0 && !talk.watched("onBeforeData");
    const eager =
      along && chunking && !lmtp && message.sizeOctets <= eagerChunkOctetsMax && message.body.inline !== undefined;
    if (eager) {
      const octets = [message.header.octets, message.separator, message.body.inline!];
      talk.wire.sendWithChunk(batch.take(), message.sizeOctets, octets);
    } else if (along && !chunking) {
      await batch.add(clientCommand("DATA"), "data", null, (judged) => {
        this.#goAhead = judged;
      });
    }
    await batch.flush(() => {
      if (eager) this.#begun = true;
    });
    if (this.#refusal || this.#taken.length === 0) await this.#giveUp(eager);
    let whole = true;
    if (!eager) {
      // Behind 354 it is too late to ask: whatever a sink inserted would be mail data.
      if (!this.#goAhead) await this.#askBeforeData();
      whole = await this.#send(chunking);
    }
    await this.#hearEnd(whole);
  }

  #heardMail(judged: Judged): void {
    const { reply, ruling } = judged;
    if (reply.code < 300) this.#open = true;
    this.#divert(judged);
    if (ruling) throw new Ending(answerTo(ruling, reply), this.#open ? "reset" : "silence");
    if (!judged.ok) this.#refusal = judged;
  }

  #heardRcpt(recipient: Recipient, judged: Judged): void {
    // Behind a MAIL that was refused, every recipient is out of order, and its reply says nothing of him.
    if (!this.#open) return;
    if (judged.ok) this.#taken.push(recipient);
    else this.#answers.set(recipient.key, answerOf(judged, "rcpt"));
    this.#divert(judged);
    // The peer has taken a recipient that a sink does not want: it has to forget him, and so the others.
    if (judged.ruling && judged.reply.code < 300) throw new Ending(null, "reset");
  }

  /** Where a sink wants the transaction, or the session, over. */
  #divert({ reply, ruling, next }: Judged): void {
    if (next === null) return;
    throw new Ending(
      ruling ? answerTo(ruling, reply) : byASink(reply),
      next === "reset" && !this.#open ? "silence" : next,
    );
  }

  /** There is nobody the peer would deliver to. What went along with the recipients still has its replies. */
  async #giveUp(eager: boolean): Promise<never> {
    const { wire, limits } = this.#talk;
    if (!eager && this.#goAhead?.ok) {
      // RFC 2920 §3.1: it goes on all the same; a dot alone ends that.
      wire.beginData(1);
      wire.endData(0);
      await wire.write([new MailDataEncoder().end()]);
    }
    if (eager || this.#goAhead?.ok) {
      await this.#talk.hear(limits.endOfDataMsMax, "_EOD", "data");
      this.#open = false;
    }
    const answer = this.#refusal ? answerToMail(this.#refusal) : null;
    throw new Ending(answer, this.#open ? "reset" : "silence");
  }

  async #send(chunking: boolean): Promise<boolean> {
    const talk = this.#talk;
    const { message, lmtp } = this.#work;
    const replies = lmtp ? this.#taken.length : 1;
    if (chunking) {
      this.#begun = true;
      return sendChunk(talk.wire, message, replies);
    }
    const goAhead = this.#goAhead ?? (await this.#sayData());
    if (!goAhead.ok || goAhead.next !== null) {
      // Behind 354 there is no way back but to close: whatever was said would be mail data.
      const by = goAhead.reply.code === 354 ? "close" : (goAhead.next ?? "reset");
      throw new Ending(goAhead.ok ? byASink(goAhead.reply) : answerOf(goAhead, "data"), by);
    }
    this.#begun = true;
    return sendData(talk.wire, message, replies);
  }

  #sayData(): Promise<Judged> {
    this.#talk.wire.send(clientCommand("DATA"));
    return this.#talk.hear(this.#talk.limits.dataMsMax, "DATA", "data");
  }

  /** The peer's last word, one for all or, with LMTP, one for each. From 2yz on the message is the peer's: no sink takes that back. */
  async #hearEnd(whole: boolean): Promise<void> {
    crashPoint("smtp.message-sent");
    const talk = this.#talk;
    const words = this.#work.lmtp ? this.#taken.map((recipient) => [recipient]) : [this.#taken];
    let next: Judged["next"] = null;
    let carried = false;
    for (const recipients of words) {
      const about = this.#work.lmtp ? recipients[0]!.mailbox : null;
      const judged = await talk.hear(talk.limits.endOfDataMsMax, "_EOD", "data", about);
      const delivered = judged.reply.code < 300;
      const answer = delivered ? deliveredBy(judged.reply) : answerOf(judged, "data");
      for (const { key } of recipients) this.#answers.set(key, answer);
      carried ||= delivered;
      next ??= judged.next;
      // It did not wait for the end: of the others it has said nothing, so nobody is refused by it.
      if (!whole) throw new Ending(answer.kind === "failed" ? null : answer, "close");
    }
    this.#open = false;
    crashPoint("smtp.answered");
    if (carried) talk.facts.messages += 1;
    if (next === "quit") throw new Ending(null, "quit");
  }

  /** What sinks are shown of the message; made when the first of them is asked. */
  get #passage(): Passage {
    const { message, attemptId } = this.#work;
    return (this.#talk.passage ??= passageOf(message, attemptId));
  }

  async #askMessageStart(line: string): Promise<string> {
    const talk = this.#talk;
    if (!talk.watched("onMessageStart")) return line;
    const mailboxes = this.#recipients.map(({ mailbox }) => mailbox);
    const subject = new MessageStart(talk.facts, this.#passage, line, mailboxes);
    const verdict = await talk.ask("onMessageStart", subject);
    subject.finish();
    const ruling = rulingOf(verdict);
    if (ruling) throw new Ending(answerTo(ruling, null), verdict.kind === "drop" ? "close" : "silence");
    await this.#insert(subject.inserted, "mail");
    return subject.command;
  }

  /** The line to send; null where a sink answered for the recipient. */
  async #askPerRecipient(
    line: string,
    { key, mailbox }: Recipient,
    index: number,
    batch: Batch,
  ): Promise<string | null> {
    const talk = this.#talk;
    if (!talk.watched("onPerRecipient")) return line;
    const subject = new PerRecipient(talk.facts, this.#passage, line, { forwardPath: mailbox, index });
    const verdict = await talk.ask("onPerRecipient", subject);
    subject.finish();
    const ruling = rulingOf(verdict);
    if (ruling) {
      if (verdict.kind === "drop") throw new Ending(answerTo(ruling, null), "close");
      this.#answers.set(key, answerTo(ruling, null));
      return null;
    }
    if (subject.inserted.length > 0) {
      await batch.flush();
      if (this.#refusal) throw new Ending(answerToMail(this.#refusal), "silence");
      await this.#insert(subject.inserted, "rcpt");
    }
    return subject.command;
  }

  async #askBeforeData(): Promise<void> {
    const talk = this.#talk;
    if (!talk.watched("onBeforeData")) return;
    const mailboxes = this.#taken.map(({ mailbox }) => mailbox);
    const subject = new BeforeData(talk.facts, this.#passage, mailboxes);
    const verdict = await talk.ask("onBeforeData", subject);
    subject.finish();
    const ruling = rulingOf(verdict);
    if (ruling) throw new Ending(answerTo(ruling, null), verdict.kind === "drop" ? "close" : "reset");
    await this.#insert(subject.inserted, "data");
  }

  /** Sends a sink's commands; a reply changes something only where a sink says so. */
  async #insert(commands: MessageStart["inserted"], stage: ReplyStage): Promise<void> {
    const judged = await this.#talk.insert(commands, stage);
    if (!judged) return;
    this.#divert(judged);
    if (judged.ruling) throw new Ending(answerTo(judged.ruling, judged.reply), this.#open ? "reset" : "silence");
  }

  /** Everybody has an answer by now, or is asked about anew; the connection is left as the next transaction wants it. */
  async #end({ answer, by }: Ending): Promise<void> {
    if (answer) this.#answerRest(answer);
    const talk = this.#talk;
    if (!talk.wire.alive || by === "silence") return;
    if (by === "close") talk.wire.close("given up");
    else if (by === "quit") await talk.quit();
    else {
      try {
        const judged = await talk.command("RSET");
        if (!judged.ok || judged.next === "quit") await talk.quit();
      } catch {
        talk.wire.close("RSET failed");
      }
    }
  }

  /** Whether the peer was gone before it had begun with the message. */
  #fail(error: unknown): boolean {
    const failure =
      error instanceof PeerFailure ? error : new PeerFailure(describeThrown(error), { kind: "own", cause: error });
    // Out of step, its replies may have been to anything: nobody is refused by them.
    if (failure.kind === "violation") this.#answers.clear();
    const { reply, stage, message } = failure;
    const answer: Answer = reply
      ? { kind: isPermanent(reply, stage) ? "failed" : "deferred", reply: plain(reply), reason: "" }
      : { kind: "deferred", reply: null, reason: message };
    this.#answerRest(failure.kind === "own" || this.#begun ? answer : { ...answer, elsewhere: true });
    this.#talk.wire.close(message);
    return failure.kind === "lost" && !this.#begun && (reply === undefined || reply.code === 421);
  }

  #answerRest(answer: Answer): void {
    for (const { key } of this.#recipients) if (!this.#answers.has(key)) this.#answers.set(key, answer);
  }
}

function answerOf({ reply, ruling }: Judged, stage: ReplyStage): Answer {
  if (ruling) return answerTo(ruling, reply);
  return { kind: isPermanent(reply, stage) ? "failed" : "deferred", reply: plain(reply), reason: "" };
}

/** A MAIL that is refused for now says nothing of the mail (RFC 5321 §5.1); what a sink says is no word of the peer's. */
function answerToMail(judged: Judged): Answer {
  const answer = answerOf(judged, "mail");
  return answer.kind === "deferred" && judged.ruling === null ? { ...answer, elsewhere: true } : answer;
}

/** What a sink said, of a reply or without one. */
function answerTo({ kind, status, reason }: Ruling, reply: Reply | null): Answer {
  return { kind, status, reason, reply: reply && plain(reply) };
}

function byASink(reply: Reply): Answer {
  return { kind: "deferred", reply: plain(reply), reason: "a sink gave up the transaction" };
}

function deliveredBy(reply: PeerReply): Answer {
  return { kind: "delivered", reply: plain(reply), reason: "" };
}

/** Without its lines: outcomes are kept and logged. */
function plain({ code, status, text }: Reply): Reply {
  return { code, status, text };
}
