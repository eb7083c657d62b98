/** Makes DKIM-Signature fields: relaxed/relaxed, RSA and Ed25519. RFC 6376, RFC 8463. Pure; the keys and who is signed for are the sinks' affair. */
import { createHash, type KeyObject, sign } from "node:crypto";
import { relaxedField, relaxedValue } from "./dkim-canonical.ts";
import { type Field, fieldValue, type Header } from "./header.ts";

export type DkimAlgorithm = "rsa-sha256" | "ed25519-sha256";

export interface DkimSigner {
  readonly domain: string;
  readonly selector: string;
  readonly privateKey: KeyObject;
}

/** Fields whose change would change what the message says, or where an answer goes. RFC 6376 §5.4.1; the List- fields for RFC 8058. */
const signedNames: readonly string[] = [
  ..."from sender reply-to to cc subject date message-id in-reply-to references".split(" "),
  ..."mime-version content-type content-transfer-encoding content-id content-description".split(" "),
  ..."resent-date resent-from resent-sender resent-to resent-cc resent-message-id".split(" "),
  ..."list-id list-help list-unsubscribe list-unsubscribe-post list-subscribe list-post list-owner list-archive".split(
    " ",
  ),
];
/** Named once more than they are there, so that nobody can add another one. RFC 6376 §8.15. */
const oversignedNames: readonly string[] = ["from", "to", "subject", "date"];

const fieldName = "DKIM-Signature";
/** Fields of a header above which it is not signed: the list of them would be a burden to everybody. */
export const signedFieldsMax = 1_000;

/** What algorithm a key is for; undefined where DKIM has none. RFC 8301 §3.2 wants 1,024 bits. */
export function algorithmOf(key: KeyObject): DkimAlgorithm | undefined {
  if (key.asymmetricKeyType === "ed25519") return "ed25519-sha256";
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return key.asymmetricKeyType === "rsa" && bits >= 1_024 ? "rsa-sha256" : undefined;
}

/**
 * A signature over the header and a body whose relaxed hash is `bodyHash`, in Base64. `at` in milliseconds since the Unix epoch.
 * @throws {RangeError} for a header with more than `signedFieldsMax` fields, or a key DKIM has no algorithm for
 */
export function createSignature(
  header: Header,
  bodyHash: string,
  { domain, selector, privateKey, at }: DkimSigner & { readonly at: number },
): Field {
  const algorithm = algorithmOf(privateKey);
  if (!algorithm) throw new RangeError("the key is neither an RSA key of 1,024 bits or more nor an Ed25519 key");
  if (header.fields.length > signedFieldsMax)
    throw new RangeError(`the header has more than ${signedFieldsMax} fields`);
  const { names, fields } = fieldsToSign(header);
  const tags = [
    `v=1; a=${algorithm}; c=relaxed/relaxed; d=${domain};`,
    `s=${selector}; t=${Math.floor(at / 1_000)};`,
    `h=${fold(names, ":")};`,
    `bh=${bodyHash};`,
    "b=",
  ];
  const open = `${fieldName}: ${tags.join("\r\n ")}`;
  // Its own field is signed too, without the signature and without its line end. RFC 6376 §3.7.
  const own = `${fieldName.toLowerCase()}:${relaxedValue(open.slice(open.indexOf(":") + 1))}`;
  const data = Buffer.from(fields.map(relaxedField).join("") + own, "latin1");
  // Ed25519 signs the hash, not the data. RFC 8463 §3.
  const signature =
    algorithm === "rsa-sha256"
      ? sign("sha256", data, privateKey)
      : sign(null, createHash("sha256").update(data).digest(), privateKey);
  const pieces = signature.toString("base64").match(/.{1,72}/g)!;
  return { name: fieldName, octets: Buffer.from(`${open}${pieces.join("\r\n ")}\r\n`, "latin1") };
}

/** Whether the message has a signature of that domain and selector already: a message that is asked about again is not signed again. */
export function hasSignature(header: Header, { domain, selector }: Pick<DkimSigner, "domain" | "selector">): boolean {
  return header.fields.some((field) => {
    if (field.name.length !== fieldName.length || field.name.toLowerCase() !== fieldName.toLowerCase()) return false;
    const value = fieldValue(field);
    const tag = (name: string) => new RegExp(`(?:^|;)\\s*${name}\\s*=\\s*([^;\\s]+)`).exec(value)?.[1]?.toLowerCase();
    return tag("d") === domain && tag("s") === selector.toLowerCase();
  });
}

/** Of several fields with a name the last is taken first. RFC 6376 §5.4.2. */
function fieldsToSign(header: Header): { readonly names: readonly string[]; readonly fields: readonly Field[] } {
  const byName = Map.groupBy(header.fields, ({ name }) => name.toLowerCase());
  const names: string[] = [];
  const fields: Field[] = [];
  for (const name of signedNames) {
    const found = byName.get(name) ?? [];
    for (const field of found.toReversed()) {
      names.push(name);
      fields.push(field);
    }
    if (oversignedNames.includes(name)) names.push(name);
  }
  return { names, fields };
}

/** Joined, with a line break where a line would be longer than 70 characters. */
function fold(words: readonly string[], between: string): string {
  const lines: string[] = [""];
  for (const [place, word] of words.entries()) {
    const piece = place === words.length - 1 ? word : word + between;
    if (lines.at(-1)!.length + piece.length > 70) lines.push(piece);
    else lines[lines.length - 1] += piece;
  }
  return lines.join("\r\n  ");
}
