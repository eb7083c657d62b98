/** One domain on two systems: who has moved gets his mail in the new one, all others where it always was. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=*@example.test";
export const priority = 20000;

const moved = new Set(["ann@example.test", "bob@example.test"]);
const newSystem = "lmtp://new.example.test:24";
const oldSystem = "smtp://old.example.test:25";

export const onArrival: ArrivalHandler = (mail) => {
  for (const recipient of mail.matchedRecipients) {
    mail.route(moved.has(recipient.toLowerCase()) ? newSystem : oldSystem, recipient);
  }
};
