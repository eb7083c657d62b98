/** Gives messages to a server of a test's own, in the clear, all over one connection, and stops at the first that is not taken. */
import { expectReply, SmtpClient } from "../smtp-client.ts";
import type { SampleMail } from "./sample-mail.ts";

export interface Submitted {
  readonly from?: string;
  readonly to: readonly string[];
  readonly samples: readonly SampleMail[];
  readonly mailParameters?: string;
  readonly rcptParameters?: string;
}

/** Addresses beyond ASCII are written as UTF-8. @throws {Error} with the server's words where it does not take one */
export async function submit(port: number, submitted: Submitted): Promise<void> {
  const { from = "sender@example.org", to, samples, mailParameters = "", rcptParameters = "" } = submitted;
  const client = await SmtpClient.connect(port);
  for (const { octets, isEightBit } of samples) {
    const reply = await client.send({
      from: utf8(from),
      to: to.map(utf8),
      data: octets,
      mailParameters: `${isEightBit ? "BODY=8BITMIME " : ""}${mailParameters}`,
      rcptParameters,
    });
    expectReply(reply, 250);
  }
  await client.quit();
}

/** The client writes one octet for each character. */
function utf8(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** The same over four connections at once. */
export async function submitAtOnce(port: number, submitted: Submitted): Promise<void> {
  const quarters = [0, 1, 2, 3].map((n) => submitted.samples.filter((_, i) => i % 4 === n));
  await Promise.all(quarters.map((samples) => submit(port, { ...submitted, samples })));
}
