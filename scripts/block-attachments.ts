/** Takes programs out of messages and says so in a field; the rest of the message arrives. */
import type { ArrivalHandler } from "onarrival";

// Only where there may be any: whoever looks at attachments has the whole message read.
export const rule = "HEADER Content-Type=multipart/*; HEADER Content-Type=application/*";
export const priority = 2000;

const dangerous = /\.(exe|scr|com|bat|cmd|vbs|js|jar|msi|ps1)$/i;

export const onArrival: ArrivalHandler = (mail, { log }) => {
  for (const attachment of mail.attachments) {
    if (!dangerous.test(attachment.fileName ?? "")) continue;
    attachment.remove();
    mail.headers.add("X-Removed-Attachment", attachment.fileName ?? "without a name");
    log.warn("removed", attachment.fileName, `${attachment.size} octets`);
  }
};
