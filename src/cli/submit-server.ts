/** Hands a message to the running server: the envelope as one line, and the octets behind it as they come. */
import { request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { controlSocketName } from "../admin/server-view.ts";
import type { SubmitEnvelope, SubmitResult } from "../admin/submit-control.ts";
import { Fault } from "../platform/fault.ts";
import { shorter, unanswered } from "./control-client.ts";

/** Time without a sign of the server: sinks may take theirs before it answers. While we wait for the message ourselves it owes us none. */
const silenceMsMax = 10 * 60_000;
const answerOctetsMax = 1024 * 1024;

export interface SubmitTarget {
  readonly data: string;
  readonly cwd: string;
}

/**
 * @throws {Fault} `control.not-running`, and then nothing of `octets` was read; `control.refused` where the server will not take it, with `status` among
 * its facts where it has answered; what `octets` throws, and then the server keeps nothing
 */
export async function submitMail(
  { data, cwd }: SubmitTarget,
  envelope: SubmitEnvelope,
  octets: AsyncIterable<Buffer> | Iterable<Buffer>,
  { silenceMs = silenceMsMax }: { readonly silenceMs?: number } = {},
): Promise<SubmitResult> {
  const socketPath = join(data, controlSocketName);
  const shown = shorter(socketPath, cwd);
  const { promise, resolve, reject } = Promise.withResolvers<SubmitResult>();
  const asked = request({
    socketPath: shorter(socketPath, process.cwd()),
    path: "/api/v1/submit",
    method: "POST",
    timeout: silenceMs,
    headers: { Host: "localhost", "Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked" },
  });
  let hasAnswered = false;
  let inputFault: unknown;
  const input: Input = { isAwaited: false };
  const fail = (error: NodeJS.ErrnoException) => {
    // An answer that came before the message was through stands. What the input throws comes back from the connection it broke.
    if (!hasAnswered) reject(inputFault ?? unanswered(error, shown));
  };
  asked.on("response", async (response) => {
    hasAnswered = true;
    try {
      const pieces: Buffer[] = [];
      let received = 0;
      for await (const piece of response as AsyncIterable<Buffer>) {
        received += piece.length;
        if (received > answerOctetsMax) throw new Error("the answer is too large");
        pieces.push(piece);
      }
      resolve(readAnswer(response.statusCode ?? 0, Buffer.concat(pieces).toString(), shown));
    } catch (error) {
      reject(error instanceof Fault ? error : unanswered(error as NodeJS.ErrnoException, shown));
    }
  });
  asked.on("timeout", () => {
    // A program may take hours over what it writes; its next octets begin the time anew.
    if (!input.isAwaited) asked.destroy(new Error(`no answer within ${silenceMs / 60_000} minutes`));
  });
  asked.on("error", fail);
  // Nothing is read before somebody is there to take it.
  asked.on("socket", (socket) => {
    const write = () => {
      const pieces = body(envelope, noting(octets, input), (error) => {
        inputFault = error;
      });
      pipeline(Readable.from(pieces), asked).catch(fail);
    };
    if (socket.connecting) socket.once("connect", write);
    else write();
  });
  return await promise;
}

interface Input {
  /** Its next octets are not here yet. */
  isAwaited: boolean;
}

/** The same octets, with word of whether they are waited for. */
async function* noting(octets: AsyncIterable<Buffer> | Iterable<Buffer>, input: Input): AsyncGenerator<Buffer> {
  input.isAwaited = true;
  for await (const piece of octets) {
    input.isAwaited = false;
    yield piece;
    input.isAwaited = true;
  }
  input.isAwaited = false;
}

async function* body(
  envelope: SubmitEnvelope,
  octets: AsyncIterable<Buffer>,
  onFault: (error: unknown) => void,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`${JSON.stringify(envelope)}\n`);
  try {
    yield* octets;
  } catch (error) {
    onFault(error);
    throw error;
  }
}

/** @throws {Fault} `control.refused` */
function readAnswer(status: number, text: string, shown: string): SubmitResult {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (error) {
    throw new Fault("control.refused", `The server at ${shown} did not answer in JSON`, { cause: error });
  }
  // Both ends are of one version: the server's types are the client's.
  if (status === 200) return answer as SubmitResult;
  const { error, code } = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const words = error === undefined ? `status ${status}` : String(error);
  throw new Fault("control.refused", words, { facts: { status, words, code } });
}
