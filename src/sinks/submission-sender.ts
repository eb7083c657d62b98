/**
 * A user sends from his own addresses: the reverse-path, the From field and the Sender field of what comes in by a submission listener are his name, or an address
 * that `onarrival user add --address` gave him. RFC 6409 §6.1, RFC 5322 §3.6.2.
 */
import type { Sink } from "../events/sink.ts";
import { proceed, refuse, type Verdict } from "../events/verdict.ts";
import { parseAddressList } from "../mail/address-list.ts";
import { fieldValue, type Header } from "../mail/header.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { Fault } from "../platform/fault.ts";
import type { AcceptedUsers } from "./submission-users.ts";
import { maySendFrom, type User } from "./users-document.ts";
import type { UsersFile } from "./users-file.ts";

export interface SenderMatchOptions {
  readonly users: Pick<UsersFile, "find">;
  readonly accepted: AcceptedUsers;
  /** Names of the submission listeners. */
  readonly listeners: ReadonlySet<string>;
  /** `auth.sender_must_match`; a reload may change it. */
  readonly mustMatch: () => boolean;
}

const notHisPath = refuse("You may not send from this address", { code: 553, status: "5.7.1" });
const notHisFrom = refuse("The From field has to name one of your addresses", { code: 550, status: "5.7.1" });
const noFrom = refuse("The message has no From field", { code: 550, status: "5.6.0" });
const notHisSender = refuse("The Sender field has to name one of your addresses", { code: 550, status: "5.7.1" });
const noLonger = refuse("You may not send mail any more", { code: 550, status: "5.7.1" });

export function senderLoginMatch({ users, accepted, listeners, mustMatch }: SenderMatchOptions): Sink {
  /** Who logged in another way than by our file has no addresses that we know. */
  async function judge(
    name: string,
    objectionTo: (user: User) => Verdict,
    { unknown = proceed }: { readonly unknown?: Verdict } = {},
  ): Promise<Verdict> {
    const user = await users.find(name);
    if (!user) return unknown;
    if (!user.enabled) return noLonger;
    return mustMatch() ? objectionTo(user) : proceed;
  }
  return {
    name: "sender-login-match",
    onMailFrom({ session, reversePath }) {
      if (session.role !== "submission" || session.user === null) return proceed;
      // Who was removed since is a stranger to the file, and not to us.
      const wasOurs = accepted.get(session) === session.user;
      // Receipts and answers of a client's own have the null reverse-path (RFC 8098 §3); their From field is looked at all the same.
      const objectionTo = (user: User) =>
        reversePath === null || maySendFrom(user, reversePath) ? proceed : notHisPath;
      return judge(session.user, objectionTo, { unknown: wasOurs ? noLonger : proceed });
    },
    onArrival({ message }) {
      const { user: name, listener } = message.origin;
      if (name === null || !listeners.has(listener)) return proceed;
      const { header } = message;
      return judge(name, (user) => {
        // The null reverse-path gives none: what has another has a From field by now.
        if (!header.has("From")) return noFrom;
        if (!areHis(user, mailboxesOf(header, "From"))) return notHisFrom;
        return header.has("Sender") && !areHis(user, mailboxesOf(header, "Sender")) ? notHisSender : proceed;
      });
    },
  };
}

function areHis(user: User, mailboxes: readonly Mailbox[] | undefined): boolean {
  return mailboxes?.every((mailbox) => maySendFrom(user, mailbox)) ?? false;
}

/**
 * The mailboxes of every field of that name; undefined where one names nobody, or cannot be read. Encoded words are not decoded: no comma, comment or address
 * begins in one (RFC 2047 §5), and what would be read there is not what others read.
 */
function mailboxesOf({ fields }: Header, wanted: "From" | "Sender"): readonly Mailbox[] | undefined {
  try {
    const lists = fields
      .filter(({ name }) => name.toLowerCase() === wanted.toLowerCase())
      .map((field) => parseAddressList(fieldValue(field)));
    return lists.some((list) => list.length === 0) ? undefined : lists.flat();
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}
