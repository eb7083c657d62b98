/** Lets every user send two hundred messages an hour; what is more hears "later". */
import type { MailFromHandler } from "onarrival";

export const rule = "USER=*";
export const grants = { kv: true };
export const onFault = "proceed";

export const onMailFrom: MailFromHandler = async (event, { kv, log, properties }) => {
  const max = Number(properties["hourMax"] ?? 200);
  // The hour begins with the first message.
  const sent = await kv.increment(`sent ${event.session.user}`, 1, { ttl: 3_600 });
  if (sent <= max) return;
  if (sent === max + 1) log.warn("too much mail from", event.session.user);
  event.defer(`More than ${max} messages an hour`, { status: "4.7.1" });
};
