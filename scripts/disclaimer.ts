/** Adds a disclaimer to the plain text of mail that our own people send. HTML, attachments and signed mail stay as they are. */
import type { ArrivalHandler } from "onarrival";

export const rule = "MAIL FROM=*@example.test";
export const priority = 26000;

const disclaimer = ["-- ", "This message is meant for the people it is addressed to."].join("\n");

export const onArrival: ArrivalHandler = async (mail, { log }) => {
  if (mail.headers.has("X-Disclaimer")) return;
  const added = await mail.appendText(disclaimer);
  if (added) mail.headers.add("X-Disclaimer", "added");
  else log.info("no plain text to add the disclaimer to");
};
