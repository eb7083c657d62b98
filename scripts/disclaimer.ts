/** Adds a disclaimer to what our own people send, to the text and to the HTML. Signed and encrypted mail stays as it is. */
import type { ArrivalHandler } from "onarrival";

export const rule = "MAIL FROM=*@example.test";
export const priority = 26000;

const disclaimer = "This message is meant for the people it is addressed to.";

export const onArrival: ArrivalHandler = async (mail, { log }) => {
  if (mail.headers.has("X-Disclaimer")) return;
  const toText = await mail.appendText(`-- \n${disclaimer}`);
  const toHtml = await mail.appendHtml(`<p><small>${disclaimer}</small></p>`);
  if (toText || toHtml) mail.headers.add("X-Disclaimer", "added");
  else log.info("nothing to add the disclaimer to");
};
