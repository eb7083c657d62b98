/** Turns away clients that a DNS list has, before they can say anything. A list that does not answer lets everybody in. */
import type { ConnectHandler } from "onarrival";

export const grants = { dns: true };
export const onFault = "proceed";

const lists = ["zen.example.org", "bl.example.net"];

export const onConnect: ConnectHandler = async (event, { dns, log }) => {
  for (const list of lists) {
    const listed = await dns.listed(list, event.session.ip);
    if (!listed) continue;
    log.info(list, "has", event.session.ip, listed.reason);
    return event.refuse(`Your address is on ${list}`, { code: 554, status: "5.7.1" });
  }
};
