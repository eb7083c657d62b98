/** Keeps documents with macros apart, and tells the postmaster how to let one go. */
import type { ArrivalHandler } from "onarrival";

export const rule = "HEADER Content-Type=multipart/*";
export const priority = 2000;
export const grants = { submit: { max: 1, to: ["example.test"] } };

const macros = /\.(docm|dotm|xlsm|xltm|pptm)$/i;

export const onArrival: ArrivalHandler = (mail) => {
  // Somebody has looked at it, and `badmail release --again` asks once more.
  if (mail.notes["released"]) return;
  const found = mail.attachments.find(({ fileName }) => macros.test(fileName ?? ""));
  if (!found) return;
  mail.submit({
    to: "postmaster@example.test",
    subject: `Kept apart: ${mail.subject}`,
    text: `From ${mail.envelope.from ?? "<>"}, with ${found.fileName}.\n\nonarrival badmail release ${mail.id}`,
  });
  mail.quarantine(`macros in ${found.fileName}`);
};
