/**
 * Where a message of the load may end: Maildirs, the drop folder, badmail, the report that its sender got, a peer that took it. A place is a name:
 * a mailbox's user, `drop`, `badmail`, `report`, or `peer:RECIPIENT`.
 */
import { existsSync, globSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Delivered } from "./custody.ts";
import { hashBody } from "./load.ts";

/** Every message in the Maildirs of a domain, by user; those of `reporter` are reports about others. */
export function readMaildirs(mailFolder: string, reporter?: string): Delivered[] {
  const delivered: Delivered[] = [];
  for (const user of existsSync(mailFolder) ? readdirSync(mailFolder) : []) {
    for (const file of globSync(join(mailFolder, user, "new/*"))) {
      const octets = readFileSync(file);
      const writtenAt = statSync(file).mtimeMs;
      if (user !== reporter) delivered.push({ place: user, writtenAt, ...readMarks(octets) });
      else delivered.push({ place: "report", writtenAt, ...readMarks(returnedHeader(octets)), bodyHash: null });
    }
  }
  return delivered;
}

/** Every message in the drop folder. */
export function readDropped(folder: string): Delivered[] {
  return globSync(join(folder, "*.eml")).map((file) => ({
    place: "drop",
    writtenAt: statSync(file).mtimeMs,
    ...readMarks(readFileSync(file)),
  }));
}

/** Every message in badmail, whole ones alone. */
export function readBadmail(folder: string): Delivered[] {
  return globSync(join(folder, "*/message.eml"))
    .filter((file) => !file.includes(".tmp/"))
    .map((file) => ({ place: "badmail", writtenAt: statSync(file).mtimeMs, ...readMarks(readFileSync(file)) }));
}

/** What the load and its script wrote into a message. */
export function readMarks(octets: Buffer): Pick<Delivered, "marker" | "edited"> & { readonly bodyHash: string } {
  const crlf = octets.indexOf("\r\n\r\n");
  const end = crlf >= 0 ? crlf : octets.indexOf("\n\n");
  const header = octets.subarray(0, end < 0 ? octets.length : end).toString("latin1");
  const marker = /^X-Marker: (.*?)\r?$/m.exec(header)?.[1] ?? "none";
  const edited = new RegExp(`^X-Edited: ${marker}\\r?$`, "m").test(header) && /^Subject: \[seen\] /m.test(header);
  const body = octets.subarray(end + (crlf >= 0 ? 4 : 2));
  // Other servers keep lines as this system does.
  const sent = crlf >= 0 ? body : Buffer.from(body.toString("latin1").replaceAll("\n", "\r\n"), "latin1");
  return { marker, edited, bodyHash: end < 0 ? "no body" : hashBody(sent) };
}

/** The header of the message a report is about: the last part of it. RFC 6522 §3. */
function returnedHeader(octets: Buffer): Buffer {
  const at = octets.lastIndexOf("\r\nX-Marker: ");
  const start = octets.lastIndexOf("\r\n\r\n", at);
  return at < 0 ? Buffer.alloc(0) : octets.subarray(start + 4);
}
