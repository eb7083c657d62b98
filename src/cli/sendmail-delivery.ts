/**
 * Where a message goes that sendmail was given: to the running server, or, where none answers, into its pickup folder, so that what is sent while the server
 * restarts is there when it is back. At least once: where the server broke off without an answer the message may come twice.
 */
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { SubmitEnvelope, SubmitResult } from "../admin/submit-control.ts";
import type { Config } from "../config/schema.ts";
import { recipientsOf } from "../mail/addressed.ts";
import { splitMessage } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import { parseForwardPath, parseReversePath } from "../mail/path.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { formatPickupFields, withoutPickupFields } from "../smtp/pickup-fields.ts";
import { submitMail } from "./submit-server.ts";

export type Handed = SubmitResult | { readonly kind: "left"; readonly path: string };

/** The server's group reads it; the folder should belong to that group and hand it on (setgid). */
const fileMode = 0o640;

/** @throws {Fault} what the server said, or that neither it nor its folder could be reached */
export async function handOver(
  { config, cwd }: { readonly config: Pick<Config, "data" | "pickup">; readonly cwd: string },
  envelope: SubmitEnvelope,
  octets: Buffer,
): Promise<Handed> {
  try {
    return await submitMail({ data: config.data, cwd }, envelope, [octets]);
  } catch (error) {
    // An answer is an answer; everything else means that nobody is there for us.
    if (!(error instanceof Fault) || error.facts.status !== undefined) throw error;
    return await leave(config, envelope, octets, error);
  }
}

async function leave(
  { data, pickup }: Pick<Config, "data" | "pickup">,
  envelope: SubmitEnvelope,
  octets: Buffer,
  cause: Fault,
): Promise<Handed> {
  if (!pickup.enabled) throw cause;
  const folder = pickup.folder ?? join(data, "pickup");
  const facts = await stat(folder).catch(() => undefined);
  if (!facts?.isDirectory()) throw cause;
  const path = join(folder, `${randomBytes(12).toString("hex")}.eml`);
  const file = pickupFile(envelope, octets);
  try {
    await writeDurably(path, [file], fileMode);
  } catch (error) {
    throw new Fault(
      cause.code,
      `${cause.message}; and the message could not be left in ${folder}: ${describeThrown(error)}`,
      { cause: error },
    );
  }
  return { kind: "left", path };
}

/** The envelope as its first fields: docs/folders.md. @throws {Fault} `submission.malformed` where the header was to name recipients and cannot */
export function pickupFile(
  { from, to, headerRecipients, notify, ret, envelopeId }: SubmitEnvelope,
  octets: Buffer,
): Buffer {
  const { header: given, separator, body } = splitMessage(octets);
  const header = withoutPickupFields(given);
  const isNamed = (name: string) => /^(?:resent-)?(?:to|cc|bcc)$/i.test(name);
  const found =
    headerRecipients && (to.length === 0 || header.fields.some(({ name }) => isNamed(name)))
      ? recipientsOf(header)
      : [];
  const addresses = [...new Set([...to, ...found.map(formatMailbox)])];
  const fields = formatPickupFields({
    reversePath: parseReversePath(from ?? "<>"),
    recipients: addresses.map((address) => ({
      mailbox: parseForwardPath(address),
      ...(notify && { options: { notify } }),
    })),
    options: { ...(ret && { ret }), ...(envelopeId !== undefined && { envelopeId }) },
  });
  return Buffer.concat([Buffer.from(fields), header.octets, separator, body]);
}
