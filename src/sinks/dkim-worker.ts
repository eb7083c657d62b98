/** The thread that signs: one message after the other, a body in a file piece by piece. */
import type { KeyObject } from "node:crypto";
import { createReadStream } from "node:fs";
import { RelaxedBodyHash } from "../mail/dkim-canonical.ts";
import { createSignature } from "../mail/dkim-signature.ts";
import { splitMessage } from "../mail/header.ts";
import { serveJobs } from "../platform/thread-jobs.ts";

export interface SignWork {
  /** With the empty line behind it. */
  readonly header: Uint8Array;
  /** The octets, or the path of the file that holds them. */
  readonly body: Uint8Array | string;
  readonly signers: readonly { readonly domain: string; readonly selector: string; readonly privateKey: KeyObject }[];
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

/** The fields to put on top, in the order of the signers. */
export type SignResult = readonly Uint8Array[];

serveJobs<SignWork, SignResult>(async ({ header: octets, body, signers, at }) => {
  const hash = new RelaxedBodyHash();
  if (typeof body === "string") for await (const chunk of createReadStream(body)) hash.update(chunk as Buffer);
  else hash.update(body);
  const bodyHash = hash.digest();
  const { header } = splitMessage(Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength));
  return signers.map((signer) => Uint8Array.from(createSignature(header, bodyHash, { ...signer, at }).octets));
});
