/** Gives orders to an application as JSON, behind the 250. Where it does not take one, the queue tries again. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=orders@example.test";
export const phase = "queue";
export const grants = { http: ["https://shop.example.org"], secrets: ["shop-token"] };

export const onArrival: ArrivalHandler = async (mail, { http, secrets }) => {
  const order = {
    id: mail.id,
    from: mail.from?.address ?? null,
    subject: mail.subject,
    text: await mail.text(),
    files: mail.attachments.map(({ fileName, contentType, size }) => ({ fileName, contentType, size })),
  };
  // It may come twice, with the same id: the application takes it once.
  const authorization = `Bearer ${await secrets.get("shop-token")}`;
  const answer = await http.post("https://shop.example.org/orders", order, { headers: { authorization } });
  if (!answer.ok) mail.defer(`The shop says ${answer.status}`);
};
