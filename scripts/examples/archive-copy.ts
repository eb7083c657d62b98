/** Sends a copy of what our people write to the archive. A bounce of the copy goes to nobody. */
import type { ArrivalHandler } from "onarrival";

export const rule = "MAIL FROM=*@example.test";
// Behind the others: the copy is what goes out.
export const priority = 32000;
export const grants = { submit: { max: 1, to: ["archive.example.org"] } };

export const onArrival: ArrivalHandler = (mail) => {
  mail.forward("keep@archive.example.org", { from: null });
};
