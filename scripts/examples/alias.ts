/** Other names for people and teams: mail for such a name goes to those it stands for. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=*@example.test";
export const priority = 1000;

const aliases = new Map<string, readonly string[]>([
  ["sales@example.test", ["ann@example.test", "bob@example.test"]],
  ["ann.smith@example.test", ["ann@example.test"]],
  ["helpdesk@example.test", ["tickets@support.example.org"]],
]);

export const onArrival: ArrivalHandler = (mail) => {
  for (const recipient of mail.matchedRecipients) {
    const people = aliases.get(recipient.toLowerCase());
    if (people) mail.envelope.replace(recipient, ...people);
  }
};
