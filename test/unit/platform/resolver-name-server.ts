/** A name server on loopback for tests of the real resolver: answers over UDP from a table, or stays silent. RFC 1035 §4. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { FakeRecords } from "../../support/fake-resolver.ts";

export interface NameServer {
  /** As `createResolver` takes it. */
  readonly address: string;
  /** Questions that came, in order: `1 mx.example`, with the number of the record type. */
  readonly questions: readonly string[];
  close(): void;
}

const types = { 1: "a", 28: "aaaa", 15: "mx", 16: "txt", 12: "ptr" } as const;

/** PTR records are by the name asked for: `1.2.0.192.in-addr.arpa`. */
export async function startNameServer(records: FakeRecords, ttlSeconds = 60): Promise<NameServer> {
  const socket = createSocket("udp4");
  const questions: string[] = [];
  const names = new Set(
    [records.a, records.aaaa, records.mx, records.txt, records.ptr].flatMap((table) => Object.keys(table ?? {})),
  );
  socket.on("message", (packet, { port, address }) => {
    const { name, end } = readName(packet, 12);
    const type = packet.readUInt16BE(end);
    questions.push(`${type} ${name}`);
    if (records.silent?.includes(name)) return;
    const failing = records.failing?.includes(name) ?? false;
    const table: Readonly<Record<string, readonly unknown[]>> = records[types[type as keyof typeof types] ?? "a"] ?? {};
    const data = failing ? [] : (table[name] ?? []).map((value) => recordData(type, value));
    const head = Buffer.alloc(12);
    head.writeUInt16BE(packet.readUInt16BE(0), 0);
    // RFC 1035 §4.1.1: 2 is a server failure, 3 a name that does not exist.
    head.writeUInt16BE(0x8180 | (failing ? 2 : names.has(name) ? 0 : 3), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(data.length, 6);
    const answers = data.map((octets) => {
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(type, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(ttlSeconds, 6);
      record.writeUInt16BE(octets.length, 10);
      return Buffer.concat([record, octets]);
    });
    socket.send(Buffer.concat([head, packet.subarray(12, end + 4), ...answers]), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { address: `127.0.0.1:${socket.address().port}`, questions, close: () => socket.close() };
}

function readName(packet: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = packet[at]!; length > 0; length = packet[at]!) {
    labels.push(packet.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 1 };
}

function recordData(type: number, value: unknown): Buffer {
  switch (type) {
    case 1:
      return Buffer.from((value as string).split(".").map(Number));
    case 28:
      return Buffer.from((value as string).replaceAll(":", ""), "hex");
    case 15: {
      const { preference, host } = value as { readonly preference: number; readonly host: string };
      return Buffer.concat([Buffer.from([preference >> 8, preference & 0xff]), writeName(host)]);
    }
    case 16:
      // In pieces, as a long record comes.
      return Buffer.concat(
        ((value as string).match(/.{1,10}/gs) ?? []).map((piece) =>
          Buffer.concat([Buffer.from([piece.length]), Buffer.from(piece)]),
        ),
      );
    default:
      return writeName(value as string);
  }
}

function writeName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}
