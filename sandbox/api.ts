/**
 * The OnArrival script API. This file and those it names are the manual: types only, nothing in them runs.
 *
 * A script is a file in `scripts/` that exports a handler. It is compiled when it is saved, and the next message runs it:
 *
 *     import type { ArrivalHandler } from "onarrival";
 *     export const rule = "RCPT TO=*@example.org";
 *     export const onArrival: ArrivalHandler = (mail) => {
 *       mail.subject = `[external] ${mail.subject}`;
 *     };
 *
 * Beside handlers a script may export:
 *   `rule`      which messages it is asked about; without one, all of them. The language is in docs/rules.md.
 *   `priority`  0 is asked first, 32767 last; 24575 without one.
 *   `phase`     "session" (without one): before the client hears a reply; "queue": behind the 250, for slow work. Of onArrival.
 *   `onFault`   what a fault of the script means: "defer" (without one), "proceed", "quarantine" or "refuse".
 *   `grants`    what it may use beside the message: network, names, a store (see `Grants`). Nothing without it.
 *   `enabled`   false to keep the script without running it.
 *   `env`       what a worker gets as its `env`.
 * A default export with an `email` function is a worker in the shape of Cloudflare's Email Workers (docs/email-workers.md).
 *
 * A run is a transaction. What a script asks for happens when its handler is done, all of it or, where the script throws or exceeds a
 * limit, nothing of it. What it asked of others meanwhile (HTTP, its store) has happened. Module variables may live from one message to the
 * next and may vanish at any time. The clock stands still while a script computes and moves on when it awaits something.
 *
 * Limits of a run, unless the configuration says otherwise: 500 ms of computing, 5 s in all, 64 MiB of heap, 1,000 edits, 100 log lines.
 */
import type { Context } from "./api-context.ts";
import type {
  ArrivedMail,
  CategorizedMail,
  DeferredMail,
  DeliveredMail,
  FailedMail,
  LocalMail,
  QueuedMail,
  ReportMail,
  RoutedMail,
} from "./api-mail-events.ts";
import type {
  ConnectEvent,
  DataEvent,
  HeadersEvent,
  HeloEvent,
  MailFromEvent,
  RcptToEvent,
} from "./api-session-events.ts";

export type * from "./api-context.ts";
export type * from "./api-mail.ts";
export type * from "./api-mail-events.ts";
export type * from "./api-session-events.ts";

/** A handler may be async; it is over when what it gives back is. */
export type Handler<Subject> = (subject: Subject, context: Context) => void | Promise<void>;

/** Asked once for every message, from every entrance, before it is accepted. */
export type ArrivalHandler = Handler<ArrivedMail>;

// -- A client talks to us ------------------------------------------------------------------------------------------------------------

/** A client has connected and heard nothing yet. */
export type ConnectHandler = Handler<ConnectEvent>;
/** It said EHLO, HELO or LHLO. */
export type HeloHandler = Handler<HeloEvent>;
/** It named a sender: MAIL FROM. */
export type MailFromHandler = Handler<MailFromEvent>;
/** It named a recipient: RCPT TO; asked for each. */
export type RcptToHandler = Handler<RcptToEvent>;
/** It is about to send the message. */
export type DataHandler = Handler<DataEvent>;
/** The header is here, the body still arriving. */
export type HeadersHandler = Handler<HeadersEvent>;

// -- We hold a message ---------------------------------------------------------------------------------------------------------------

/** Before recipients are resolved. */
export type PreCategorizeHandler = Handler<QueuedMail>;
/** The final recipients are known: the last chance to edit. */
export type PostCategorizeHandler = Handler<CategorizedMail>;
/** Where the recipients of a domain go next; asked at each attempt. */
export type RouteHandler = Handler<RoutedMail>;
/** A recipient of ours is about to get the message. */
export type LocalDeliveryHandler = Handler<LocalMail>;
/** A report to a sender is about to be made. */
export type DsnHandler = Handler<ReportMail>;
/** Told after the fact: nothing of the message can be changed any more. */
export type DeliveredHandler = Handler<DeliveredMail>;
export type DeferredHandler = Handler<DeferredMail>;
export type FailedHandler = Handler<FailedMail>;
