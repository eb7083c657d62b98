/** Puts what the spam filter in front of us gave many points into the folder Junk; what it wrote stays to be read. */
import type { ArrivalHandler } from "onarrival";

export const rule = "HEADER X-Spam-Score=*";
export const priority = 3000;

export const onArrival: ArrivalHandler = (mail, { properties }) => {
  const score = Number(mail.headers.get("X-Spam-Score"));
  if (score >= Number(properties["scoreMin"] ?? 5)) mail.fileInto("Junk");
};
