/** One question to one name server: over UDP, and over TCP where the answer does not fit. Whom to ask and how often is not decided here. RFC 1035 §4.2, RFC 7766. */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { isIPv6, connect as tcpConnect } from "node:net";
import type { Clock } from "./clock.ts";
import type { NameServer } from "./dns-machine.ts";
import {
  type Question,
  type QuestionOptions,
  type ReadAnswer,
  type Reading,
  readAnswer,
  writeQuestion,
} from "./dns-message.ts";

export type Exchange =
  | ReadAnswer
  /** It answered, and the answer is of no use: asking it again will not help. `rcode` where it said one. */
  | { readonly kind: "unusable"; readonly reason: string; readonly rcode: string | null }
  /** Nothing came in time, or nobody is there. */
  | { readonly kind: "silent"; readonly reason: string };

export interface ExchangeOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly dnssec: boolean;
  readonly signal: AbortSignal;
}

/** Datagrams that are no answer to the question, before somebody is taken to be guessing ids. RFC 5452 §9.1. */
const straysMax = 50;

/** Never throws. */
export async function askServer(server: NameServer, question: Question, options: ExchangeOptions): Promise<Exchange> {
  const { clock, dnssec } = options;
  const until = clock.monotonicMs() + options.timeoutMs;
  const left = () => ({ ...options, timeoutMs: Math.max(1, until - clock.monotonicMs()) });
  let write = { edns: true, dnssec };
  let read = await exchangeUdp(server, question, write, left());
  if (read.kind === "unusable" && (read.rcode === "FORMERR" || read.rcode === "NOTIMP")) {
    // RFC 6891 §7: an old server; it knows nothing of signatures either.
    write = { edns: false, dnssec: false };
    read = await exchangeUdp(server, question, write, left());
  }
  if (read.kind === "truncated") read = await exchangeTcp(server, question, write, left());
  switch (read.kind) {
    case "truncated":
    case "stray":
      return { kind: "unusable", reason: "no answer to what was asked", rcode: null };
    default:
      return read;
  }
}

type Silence = { readonly kind: "silent"; readonly reason: string };

function exchangeUdp(
  { address, port }: NameServer,
  question: Question,
  write: QuestionOptions,
  { clock, timeoutMs, signal }: ExchangeOptions,
): Promise<Reading | Silence> {
  return new Promise((resolve) => {
    // A socket for each question: its port is one more thing a forger has to guess. RFC 5452 §9.2.
    const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
    const id = randomInt(0x1_0000);
    let [strays, isEnded] = [0, false];
    const end = (read: Reading | Silence) => {
      cancel();
      signal.removeEventListener("abort", onAbort);
      // Closing it twice throws, and so would a late error without a listener.
      socket
        .removeAllListeners("message")
        .removeAllListeners("error")
        .on("error", () => {});
      if (!isEnded) socket.close();
      isEnded = true;
      resolve(read);
    };
    const fail = (error: NodeJS.ErrnoException) => end({ kind: "silent", reason: error.code ?? error.message });
    const cancel = clock.after(timeoutMs, () => end({ kind: "silent", reason: "no answer in time" }));
    const onAbort = () => end({ kind: "silent", reason: "closed" });
    signal.addEventListener("abort", onAbort);
    socket.on("error", fail);
    socket.on("message", (octets) => {
      const read = readAnswer(id, question, octets);
      if (read.kind !== "stray") end(read);
      else if (++strays >= straysMax)
        end({ kind: "unusable", reason: "too many answers to other questions", rcode: null });
    });
    // Connected, it hears nobody but the server, and of a closed port.
    socket.on("connect", () => {
      if (!isEnded) socket.send(writeQuestion(id, question, write), (error) => error && fail(error));
    });
    socket.connect(port, address);
  });
}

function exchangeTcp(
  { address, port }: NameServer,
  question: Question,
  write: QuestionOptions,
  { clock, timeoutMs, signal }: ExchangeOptions,
): Promise<Reading | Silence> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ host: address, port });
    const id = randomInt(0x1_0000);
    let heard: Buffer = Buffer.alloc(0);
    const end = (read: Reading | Silence) => {
      cancel();
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      resolve(read);
    };
    const cancel = clock.after(timeoutMs, () => end({ kind: "silent", reason: "no answer in time, over TCP" }));
    const onAbort = () => end({ kind: "silent", reason: "closed" });
    signal.addEventListener("abort", onAbort);
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end({ kind: "silent", reason: `${error.code ?? error.message}, over TCP` }),
    );
    socket.on("close", () => end({ kind: "silent", reason: "connection closed, over TCP" }));
    socket.on("connect", () => {
      const message = writeQuestion(id, question, write);
      // RFC 1035 §4.2.2: two octets of length go first, best in one piece (RFC 7766 §8).
      socket.write(Buffer.concat([Buffer.from([message.length >> 8, message.length & 0xff]), message]));
    });
    socket.on("data", (octets: Buffer) => {
      heard = Buffer.concat([heard, octets]);
      // The length is of two octets, so what is kept is bounded.
      if (heard.length < 2 || heard.length < 2 + heard.readUInt16BE(0)) return;
      end(readAnswer(id, question, heard.subarray(2, 2 + heard.readUInt16BE(0))));
    });
  });
}
