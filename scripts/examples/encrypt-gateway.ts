/** Hands mail that is to be encrypted to the gateway; what comes back from there goes out. */
import type { ArrivalHandler } from "onarrival";

export const rule = "MAIL FROM=*@example.test; SUBJECT=*[secure]*";
export const priority = 30000;

const gateway = "192.0.2.25";
const mark = /\s*\[secure\]\s*/gi;

export const onArrival: ArrivalHandler = (mail, { log }) => {
  if (mail.session.ip === gateway) return;
  mail.subject = mail.subject.replace(mark, " ").trim();
  mail.headers.set("X-Encrypt", "always");
  mail.route(`smtp://${gateway}:10025`);
  log.info("handed to the gateway");
};
