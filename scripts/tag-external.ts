/** Tags the subject of mail that comes from outside, so that readers look twice. Replies keep one tag. */
import type { ArrivalHandler } from "onarrival";

const ourDomain = "example.test";
const tag = "[external]";

export const onArrival: ArrivalHandler = (mail) => {
  if (mail.session.user || mail.from?.address.endsWith(`@${ourDomain}`)) return;
  if (!mail.subject.includes(tag)) mail.subject = `${tag} ${mail.subject}`.trim();
  mail.headers.set("X-External", "yes");
};
