/** Writes one line of JSON about each message into the log, behind all other scripts, so that it says how the message looks in the end. */
import type { ArrivalHandler } from "onarrival";

export const priority = 32767;
export const onFault = "proceed";

export const onArrival: ArrivalHandler = (mail, { log }) => {
  log.info({
    from: mail.envelope.from,
    to: mail.envelope.to,
    subject: mail.subject,
    size: mail.size,
    client: mail.session.ip,
  });
};
