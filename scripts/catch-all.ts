/** Mail for people who left, and for addresses that were never given to anyone, goes to the office. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=former-*@example.test; RCPT TO=unknown-*@example.test";
export const priority = 1000;

const office = "office@example.test";

export const onArrival: ArrivalHandler = (mail) => {
  for (const recipient of mail.matchedRecipients) {
    mail.envelope.replace(recipient, office);
    mail.headers.add("X-Original-To", recipient);
  }
};
