/** Keeps a copy of every message that arrives in a folder, one file each. The copy is on disk before the client hears 250; where it cannot be made, `on_fault` decides. */
import { join } from "node:path";
import type { Sink } from "../events/sink.ts";
import type { Message } from "../mail/message.ts";
import { count, flag, path, size } from "../platform/value.ts";
import { formatPickupFields } from "../smtp/pickup-fields.ts";
import { ArchiveFolder } from "./archive-folder.ts";
import { optionalProperty, property, type ValuesOf } from "./property.ts";
import { pathIn, type SinkPorts } from "./sink-ports.ts";

export const archiveCopyProperties = {
  folder: optionalProperty(
    path("a folder"),
    "Folder of the copies; a relative path starts from the configuration's folder.",
    "`sinks/archive` in the data folder",
  ),
  gzip: property(flag, false, "Compresses the copies."),
  envelope: property(
    flag,
    true,
    "Each copy begins with X-Sender and X-Receiver fields: the envelope, as the pickup folder takes it.",
  ),
  keep_days: property(
    count({ min: 0, max: 36_500 }),
    0,
    "Whole days, UTC, after which copies are removed; 0 is never.",
  ),
  size_max: optionalProperty(
    size({ min: 1, max: 2 ** 50 }),
    "Octets of all copies together; above it the oldest are removed.",
    "no limit",
  ),
};

export async function archiveCopy(values: ValuesOf<typeof archiveCopyProperties>, ports: SinkPorts): Promise<Sink> {
  const { gzip, envelope } = values;
  if (ports.folder === null) return { name: "archive-copy", onArrival() {} };
  const folder = await ArchiveFolder.open({
    path: values.folder === null ? join(ports.folder, "archive") : pathIn(ports, values.folder),
    gzip,
    keepDays: values.keep_days,
    sizeOctetsMax: values.size_max,
    clock: ports.clock,
    log: ports.log,
  });
  return {
    name: "archive-copy",
    async onArrival({ message }, { rehearsal }) {
      if (!rehearsal) await folder.keep({ id: message.id, at: message.receivedAt }, chunksOf(message, envelope));
    },
    close: () => folder.close(),
  };
}

async function* chunksOf(message: Message, withEnvelope: boolean): AsyncIterable<Uint8Array> {
  if (withEnvelope) yield Buffer.from(formatPickupFields(message.envelope));
  yield* message.chunks();
}
