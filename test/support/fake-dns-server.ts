/** A name server on loopback, over UDP and TCP at one port: answers from tables, or as badly as it is told to. RFC 1035 §4. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { type Answer, decode, encode } from "dns-packet";
import type { FakeRecords } from "./fake-resolver.ts";

export type Misbehaviour =
  /** A code other than success. */
  | "SERVFAIL"
  | "REFUSED"
  /** Does not know EDNS: says FORMERR, without the question. */
  | "old"
  /** No datagram; over TCP it answers. */
  | "truncated"
  /** The same, and the connection is closed without an answer. */
  | "truncated and closed"
  /** First a datagram with another id and another address, then the answer. */
  | "forged id"
  /** First the answer to another question. */
  | "forged question"
  /** Nothing but answers with other ids. */
  | "only forged"
  | "garbage"
  /** A name in the answer that points to itself. */
  | "name loop"
  /** A record that claims more octets than there are. */
  | "short record"
  | "circle of aliases";

export interface FakeZone extends FakeRecords {
  readonly cname?: Readonly<Record<string, string>>;
  readonly misbehaving?: Readonly<Record<string, Misbehaviour>>;
  /** Of all records. */
  readonly ttlSeconds?: number;
  /** Of what does not exist; null leaves the SOA record out. */
  readonly negativeTtlSeconds?: number | null;
  /** Answers with the first alias alone, and leaves the rest to who asked. */
  readonly aliasesAlone?: boolean;
  /** Octets behind which an answer is cut short over UDP. Default 1232. */
  readonly udpOctetsMax?: number;
  /** Whether it says that answers are signed where it is asked for that. `authentic` of the records says which names. */
  readonly validates?: boolean;
  /** Says so of every answer, asked for it or not. */
  readonly alwaysAuthentic?: boolean;
}

export interface FakeDnsServer {
  /** As `createResolver` takes it. */
  readonly address: string;
  /** Questions that came, in order: `MX example.test`, `MX example.test tcp`. Names as they were written. */
  readonly questions: readonly string[];
  /** Source ports and ids of the datagrams. */
  readonly sources: readonly { readonly port: number; readonly id: number }[];
  /** The last question's flags: whether DNSSEC was asked for, and by EDNS. */
  readonly last: { readonly edns: boolean; readonly dnssec: boolean };
  close(): void;
}

type Asked = ReturnType<typeof decode>;

/** PTR records are by address, IPv4 alone. Answers do not keep the case of the question's name. */
export async function startFakeDnsServer(zone: FakeZone): Promise<FakeDnsServer> {
  const questions: string[] = [];
  const sources: { port: number; id: number }[] = [];
  const last = { edns: false, dnssec: false };
  const note = (asked: Asked, by: string) => {
    const { name, type } = asked.questions![0]!;
    questions.push(`${type} ${name}${by}`);
    const options = asked.additionals?.find((record) => record.type === "OPT");
    last.edns = options !== undefined;
    last.dnssec = options?.flag_do === true && asked.flag_ad;
  };

  const tcp = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (octets: Buffer) => {
      const asked = decode(octets.subarray(2));
      note(asked, " tcp");
      if (misbehaviourOf(zone, asked) === "truncated and closed") return void socket.destroy();
      const answer = answerTo(zone, asked);
      const framed = Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 0xff]), answer]);
      // In pieces that cut the length in two.
      socket.write(framed.subarray(0, 1));
      setImmediate(() => socket.end(framed.subarray(1)));
    });
  });
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as { port: number };

  const udp = createSocket("udp4");
  udp.on("message", (octets, from) => {
    const asked = decode(octets);
    sources.push({ port: from.port, id: asked.id! });
    note(asked, "");
    for (const datagram of datagramsFor(zone, asked)) udp.send(datagram, from.port, (from as RemoteInfo).address);
  });
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  return {
    address: `127.0.0.1:${port}`,
    questions,
    sources,
    last,
    close() {
      udp.close();
      tcp.close();
    },
  };
}

function misbehaviourOf(zone: FakeZone, asked: Asked): Misbehaviour | undefined {
  return zone.misbehaving?.[asked.questions![0]!.name.toLowerCase()];
}

function datagramsFor(zone: FakeZone, asked: Asked): Buffer[] {
  const [{ name, type }] = asked.questions as [{ name: string; type: "A" }];
  if (zone.silent?.includes(name.toLowerCase())) return [];
  const right = answerTo(zone, asked);
  const forged = encode({
    type: "response",
    id: (asked.id! + 1) & 0xffff,
    questions: [{ name, type }],
    answers: [{ name, type: "A", ttl: 60, data: "203.0.113.66" }],
  });
  const head = (flags: number) => encode({ type: "response", id: asked.id!, flags, questions: [{ name, type }] });
  switch (misbehaviourOf(zone, asked)) {
    case "SERVFAIL":
      return [head(2)];
    case "REFUSED":
      return [head(5)];
    case "old":
      return asked.additionals?.length ? [encode({ type: "response", id: asked.id!, flags: 1 })] : [right];
    case "truncated":
    case "truncated and closed":
      return [head(0x200)];
    case "forged id":
      return [forged, right];
    case "forged question":
      return [
        encode({
          type: "response",
          id: asked.id!,
          questions: [{ name: `x${name}`, type }],
          answers: [{ name, type: "A", ttl: 60, data: "203.0.113.66" }],
        }),
        right,
      ];
    case "only forged":
      return Array.from({ length: 60 }, () => forged);
    case "garbage":
      return [Buffer.concat([head(0).subarray(0, 12), Buffer.alloc(20, 0xff)])];
    case "name loop": {
      const octets = Buffer.concat([head(0), Buffer.from([0, 0])]);
      octets.writeUInt16BE(1, 6);
      // An owner name that is a pointer to where it stands itself. RFC 1035 §4.1.4.
      octets.writeUInt16BE(0xc000 | (octets.length - 2), octets.length - 2);
      return [octets];
    }
    case "short record":
      return [right.subarray(0, right.length - 3)];
    default:
      return [right.length > (zone.udpOctetsMax ?? 1_232) ? head(0x200) : right];
  }
}

function answerTo(zone: FakeZone, asked: Asked): Buffer {
  const [question] = asked.questions as [{ name: string; type: string }];
  const ttl = zone.ttlSeconds ?? 60;
  const answers: Answer[] = [];
  let name = question.name.toLowerCase();
  if (zone.misbehaving?.[name] === "circle of aliases")
    answers.push(
      { name, type: "CNAME", ttl, data: `other.${name}` },
      { name: `other.${name}`, type: "CNAME", ttl, data: name },
    );
  for (let alias = zone.cname?.[name]; alias !== undefined && answers.length < 20; alias = zone.cname?.[name]) {
    answers.push({ name, type: "CNAME", ttl, data: alias });
    name = alias.toLowerCase();
    if (zone.aliasesAlone) break;
  }
  const isCut = answers.length > 0 && (zone.aliasesAlone || zone.misbehaving?.[name] === "circle of aliases");
  const records = isCut ? [] : recordsOf(zone, name, question.type, ttl);
  answers.push(...records);
  const exists = isCut || knows(zone, name);
  const authentic = zone.authentic === true || (zone.authentic?.includes(question.name.toLowerCase()) ?? false);
  const isSigned = zone.alwaysAuthentic || (zone.validates && authentic && asked.flag_ad);
  const negative = zone.negativeTtlSeconds === undefined ? 60 : zone.negativeTtlSeconds;
  return encode({
    type: "response",
    id: asked.id!,
    flags: 0x180 | (isSigned ? 0x20 : 0) | (exists ? 0 : 3),
    // dns-packet has no type for the type of a question that came.
    questions: [{ name, type: question.type as "A" }].map((one) => ({ ...one, name: question.name })),
    answers,
    authorities:
      records.length === 0 && negative !== null
        ? [
            {
              name: "test",
              type: "SOA",
              ttl: 3_600,
              data: { mname: "ns.test", rname: "admin.test", minimum: negative },
            },
          ]
        : [],
  });
}

function knows(zone: FakeZone, name: string): boolean {
  const address = name
    .replace(/\.in-addr\.arpa$/, "")
    .split(".")
    .reverse()
    .join(".");
  return (
    [zone.a, zone.aaaa, zone.mx, zone.txt, zone.tlsa, zone.cname].some((table) => table && name in table) ||
    zone.ptr?.[address] !== undefined
  );
}

function recordsOf(zone: FakeZone, name: string, type: string, ttl: number): Answer[] {
  switch (type) {
    case "A":
      return (zone.a?.[name] ?? []).map((data) => ({ name, type, ttl, data }));
    case "AAAA":
      return (zone.aaaa?.[name] ?? []).map((data) => ({ name, type, ttl, data }));
    case "MX":
      return (zone.mx?.[name] ?? []).map(({ preference, host }) => ({
        name,
        type,
        ttl,
        data: { preference, exchange: host === "" ? "." : host },
      }));
    case "TXT":
      // In pieces, as a long record comes.
      return (zone.txt?.[name] ?? []).map((text) => ({ name, type, ttl, data: text.match(/.{1,10}/gs) ?? [] }));
    case "PTR": {
      const address = name
        .replace(/\.in-addr\.arpa$/, "")
        .split(".")
        .reverse()
        .join(".");
      return (zone.ptr?.[address] ?? []).map((data) => ({ name, type, ttl, data }));
    }
    case "TLSA":
      return (zone.tlsa?.[name] ?? []).map(({ data, ...rest }) => ({
        name,
        type,
        ttl,
        data: { ...rest, certificate: data },
      }));
    default:
      return [];
  }
}
