/** Sends away whom we do not know yet; a real mail server comes again, and is known then. */
import type { RcptToHandler } from "onarrival";

export const rule = "USER=-; MAIL FROM=*@*";
export const grants = { kv: true };
export const onFault = "proceed";

const waitMs = 300_000;
const dayS = 86_400;

export const onRcptTo: RcptToHandler = async (event, { kv }) => {
  const network = event.session.ip.replace(/[.:][^.:]*$/, "");
  // A key may have 512 octets.
  const key = `${network} ${event.envelope.from} ${event.recipient}`.toLowerCase().slice(0, 170);
  const now = Date.now();
  const since = (await kv.setIfAbsent(key, now, { ttl: dayS })) ? now : ((await kv.get<number>(key)) ?? now);
  if (now - since < waitMs) return event.defer("Please come again in five minutes", { status: "4.7.1" });
  await kv.set(key, since, { ttl: 36 * dayS });
};
