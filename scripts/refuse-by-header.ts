/** Refuses bulk mail that does not say how to unsubscribe. RFC 8058 asks for the field, so do the large mailbox providers. */
import type { ArrivalHandler } from "onarrival";

export const rule = "HEADER Precedence=bulk; HEADER Precedence=list";

export const onArrival: ArrivalHandler = (mail) => {
  if (mail.headers.has("List-Unsubscribe")) return;
  mail.refuse("Bulk mail needs a List-Unsubscribe field", { status: "5.7.1" });
};
