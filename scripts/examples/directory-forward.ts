/** Sends on the mail of people for whom the directory names another address. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=*@example.test";
export const priority = 1000;
export const grants = { http: ["https://directory.example.org"], secrets: ["directory-token"] };

export const onArrival: ArrivalHandler = async (mail, { http, secrets }) => {
  const authorization = `Bearer ${await secrets.get("directory-token")}`;
  for (const recipient of mail.matchedRecipients) {
    const url = `https://directory.example.org/users/${encodeURIComponent(recipient)}/forward`;
    const answer = await http.get(url, { headers: { authorization } });
    if (answer.status === 404) continue;
    if (!answer.ok) return mail.defer("The directory does not answer");
    const { to } = (await answer.json()) as { readonly to: readonly string[] };
    mail.envelope.replace(recipient, ...to);
  }
};
