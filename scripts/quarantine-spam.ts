/** Keeps what the spam filter in front of us marked apart: in badmail, from where it can be released. */
import type { ArrivalHandler } from "onarrival";

export const rule = "HEADER X-Spam-Flag=YES";
export const priority = 3000;

const scoreMax = 15;

export const onArrival: ArrivalHandler = (mail) => {
  const score = Number(mail.headers.get("X-Spam-Score") ?? 0);
  if (score >= scoreMax) mail.refuse("This message looks like spam", { code: 554, status: "5.7.1" });
  else mail.quarantine(`marked as spam, score ${score}`);
};
