/** Ids of the messages a run makes: they come of the run, so that the child can tell a script, the server knows what they must be, and a replay has them again. */
import { createHash } from "node:crypto";
import type { MailInput, RunRequest, RunStep } from "./protocol.ts";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The id of the run's new message number `index`: that of its mail in its time, and a hash in the rest. */
export function submissionId(
  { event, subject }: Pick<RunRequest, "event" | "subject">,
  { bindingId, version, seed = "" }: Pick<RunStep, "bindingId" | "version" | "seed">,
  mail: Pick<MailInput, "id">,
  index: number,
): string {
  const facts = [mail.id, event, bindingId, version, seed, subject["attemptId"], subject["recipient"], index];
  const hash = createHash("sha256").update(JSON.stringify(facts)).digest();
  return mail.id.slice(0, 9) + Array.from(hash.subarray(0, 7), (octet) => alphabet[octet & 31]).join("");
}
