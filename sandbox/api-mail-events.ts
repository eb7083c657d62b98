/** What handlers of the events of a message are given, from its arrival to its end. Types only. */
import type { Answers, Mail, MessageAnswers, ReadableMail, Submissions, Ways } from "./api-mail.ts";

/** onArrival: everything. */
export interface ArrivedMail extends Mail, MessageAnswers, Submissions, Ways {}

/** A message the queue has in hand. */
export interface InQueue {
  /** One try of the queue; the event may come again for the same message, with another id. */
  readonly attemptId: string;
}

/** onPreCategorize: everything but the recipients, who are not resolved yet. */
export interface QueuedMail
  extends Omit<Mail, "envelope">,
    Pick<ReadableMail, "envelope">,
    MessageAnswers,
    Submissions,
    InQueue {}

/** onPostCategorize: the recipients are final; what they get is not. */
export interface CategorizedMail extends QueuedMail, Pick<Ways, "route" | "fileInto"> {}

/** onRoute. */
export interface RoutedMail extends ReadableMail, Answers, InQueue {
  /** The domain of these recipients. */
  readonly domain: string;
  readonly recipients: readonly string[];
  /** Chosen so far, in words; null: nobody has. */
  readonly nextHop: string | null;
  /** "smtp://relay.example:2525", "smarthost", "mx", "local", "hold …": docs/next-hops.md. */
  route(nextHop: string): void;
}

/** onLocalDelivery. A verdict is about this recipient alone. */
export interface LocalMail extends ReadableMail, MessageAnswers, Submissions, InQueue {
  readonly recipient: string;
  readonly nextHop: string;
  /** null is the inbox. */
  readonly folder: string | null;
  /** Another folder of the mailbox, made where it is not there: "Junk", "Lists/dev"; null is the inbox. */
  fileInto(folder: string | null): void;
}

/** onDsn: `mail` itself is the message the report is about. */
export interface ReportMail extends ReadableMail {
  /** "relayed": handed to a server that sends no reports itself. */
  readonly kind: "failed" | "delayed" | "delivered" | "relayed";
  readonly recipients: readonly {
    readonly address: string;
    /** Enhanced status, such as "5.1.1". */
    readonly status: string;
    readonly reason: string;
  }[];
  /** The part for people, lines with "\n" between them. */
  readonly reportText: string;
  readonly reportSubject: string;
  setReportText(text: string): void;
  setReportSubject(subject: string): void;
  /** No report is sent; the log says so. */
  discard(reason: string): void;
}

/** What onDelivered, onDeferred and onFailed have in common. */
export interface OutcomeMail extends ReadableMail, Submissions, InQueue {
  readonly recipient: string;
  readonly nextHop: string;
  /** The other side's last word, where there was one. */
  readonly lastReply: { readonly code: number; readonly status: string | null; readonly text: string } | null;
}

export interface DeliveredMail extends OutcomeMail {}

export interface DeferredMail extends OutcomeMail {
  readonly reason: string;
  readonly nextAttemptAt: Date;
}

export interface FailedMail extends OutcomeMail {
  readonly reason: string;
}
