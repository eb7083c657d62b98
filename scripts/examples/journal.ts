/** Reports every message to the journal: who wrote to whom, whatever the header says, and the message itself. */
import type { ArrivalHandler } from "onarrival";

// Behind the others, so that it sees the recipients they made. Where it fails the message is deferred: none goes by unseen.
export const priority = 32000;
export const grants = { submit: { max: 1, to: ["archive.example.org"] } };

export const onArrival: ArrivalHandler = async (mail) => {
  const { from, to } = mail.envelope;
  mail.submit({
    to: "journal@archive.example.org",
    envelopeFrom: null,
    subject: `Journal: ${mail.subject}`,
    text: [`Sender: ${from ?? "<>"}`, ...to.map((one) => `Recipient: ${one}`), `Id: ${mail.id}`].join("\n"),
    attachments: [{ fileName: "message.eml", contentType: "message/rfc822", content: await mail.raw() }],
  });
};
