/** Refuses recipients whom the directory does not know, before their mail is sent; its answers hold for ten minutes. */
import type { RcptToHandler } from "onarrival";

export const rule = "RCPT TO=*@example.test";
export const grants = { http: ["https://directory.example.org"], kv: true };

export const onRcptTo: RcptToHandler = async (event, { http, kv }) => {
  const address = event.recipient.toLowerCase();
  let known = await kv.get<boolean>(address);
  if (known === null) {
    const { status } = await http.get(`https://directory.example.org/users/${encodeURIComponent(address)}`);
    // Only a clear no is a no: a directory that is ill must not turn mail away.
    if (status !== 200 && status !== 404) return event.defer("Recipients cannot be checked right now");
    known = status === 200;
    await kv.set(address, known, { ttl: 600 });
  }
  if (!known) event.refuse("No such user here", { status: "5.1.1" });
};
