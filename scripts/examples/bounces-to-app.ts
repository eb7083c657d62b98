/** Tells an application which addresses of its mailings no longer work: reads the reports that come back to bounces+ID. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=bounces+*@example.test";
export const phase = "queue";
export const grants = { http: ["https://crm.example.org"] };

export const onArrival: ArrivalHandler = async (mail, { http }) => {
  // The part for machines stands in the text as well. RFC 3464: fields, as in a header.
  const report = await mail.text();
  const field = (name: string) => new RegExp(`^${name}: *(?:rfc822; *)?(.+)$`, "im").exec(report)?.[1]?.trim() ?? null;
  const address = field("Final-Recipient");
  if (address === null) return mail.discard("no report, but an answer to a mailing");
  const answer = await http.post("https://crm.example.org/bounces", {
    mailing: /\+(.+)@/.exec(mail.matchedRecipients[0] ?? "")?.[1] ?? null,
    address,
    status: field("Status"),
    isFinal: field("Action") === "failed",
  });
  if (answer.ok) mail.discard("told to the application");
  else mail.defer(`The application says ${answer.status}`);
};
