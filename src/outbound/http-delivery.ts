/**
 * Delivery to programs: a POST of the message to their URL, an outcome for each recipient out of the answer. Redirects are not followed, certificates are
 * checked, and nothing is remembered between attempts: the message's id is the same in each, so that a program can tell what it has.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Message } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { crashPoint } from "../platform/crash-point.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";
import { answerOctetsMax, type HttpAnswer, outcomesOf } from "./http-outcome.ts";
import { batchesOf, beginSignature, endSignature, requestFields } from "./http-request.ts";

export interface HttpSettings {
  /** Signs each request; null: none is signed. */
  readonly secret: string | null;
  /** For one request, from the connection to the last octet of the answer. */
  readonly timeoutMs: number;
}

export interface HttpWork {
  readonly url: string;
  readonly message: Message;
  readonly recipients: readonly StoredRecipient[];
  readonly attemptId: string;
  readonly signal?: AbortSignal;
}

export interface HttpDeliveryOptions {
  readonly settings: HttpSettings;
  readonly clock: Clock;
  /** Connections at a time to one server. */
  readonly connectionsMax?: number;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
}

/** Idle connections are kept for so long, and this many to one server. */
const idleMs = 5_000;
const idleMax = 4;
const connectionsMaxDefault = 10;
/** Octets of the answer's fields. */
const headerOctetsMax = 16 * 1024;

export class HttpDelivery {
  /** Others hold from the next request on. */
  settings: HttpSettings;
  readonly #clock: Clock;
  readonly #agents: { readonly http: HttpAgent; readonly https: HttpsAgent };
  readonly #closing = new AbortController();

  constructor({ settings, clock, connectionsMax, certificateAuthorities }: HttpDeliveryOptions) {
    this.settings = settings;
    this.#clock = clock;
    const pooling = {
      keepAlive: true,
      timeout: idleMs,
      maxSockets: connectionsMax ?? connectionsMaxDefault,
      maxFreeSockets: idleMax,
    };
    const authorities = certificateAuthorities === undefined ? {} : { ca: certificateAuthorities };
    this.#agents = {
      http: new HttpAgent(pooling),
      https: new HttpsAgent({ ...pooling, ...authorities, rejectUnauthorized: true }),
    };
  }

  /** One attempt, in as many requests as the recipients need. An outcome for each. Never throws. */
  async deliver(work: HttpWork): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const recipients of batchesOf(work.recipients))
      outcomes.push(...(await this.#request({ ...work, recipients })));
    return outcomes;
  }

  /** Ends every connection; requests under way are deferred. */
  close(): void {
    this.#closing.abort(new Error("the server is stopping"));
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  async #request(work: HttpWork): Promise<Outcome[]> {
    const { url, recipients, signal } = work;
    const { origin, pathname } = new URL(url);
    // Without the query: it may hold a key.
    const nextHop = `${origin}${pathname}`;
    const limit = new AbortController();
    const { timeoutMs } = this.settings;
    const cancel = this.#clock.after(timeoutMs, () => limit.abort(new Error(`no answer within ${timeoutMs} ms`)));
    const until = AbortSignal.any([limit.signal, this.#closing.signal, ...(signal ? [signal] : [])]);
    const traffic: Traffic = { answered: false, reused: false };
    try {
      let answer: HttpAnswer;
      try {
        answer = await this.#post(work, until, traffic);
      } catch (error) {
        // An old connection may end just when it is used again: that is no answer to this message, so it goes over a fresh one. RFC 9112 §9.5.
        if (!traffic.reused || traffic.answered || traffic.unreadable || until.aborted) throw error;
        answer = await this.#post(work, until, traffic, false);
      }
      crashPoint("http.answered");
      return outcomesOf(answer, { recipients, nextHop, now: this.#clock.now() });
    } catch (error) {
      const cause = until.aborted ? until.reason : (traffic.unreadable ?? error);
      const reason = `cannot deliver to ${nextHop}: ${describe(cause)}`;
      const down = isUnreachable(cause) ? { destinationDown: true } : {};
      return recipients.map(({ index }) => ({
        index,
        kind: "deferred",
        nextHop,
        reply: null,
        reason,
        status: traffic.unreadable ? "4.3.0" : "4.4.1",
        ...down,
      }));
    } finally {
      cancel();
    }
  }

  async #post(work: HttpWork, signal: AbortSignal, traffic: Traffic, mayReuse = true): Promise<HttpAnswer> {
    const { message, recipients, attemptId } = work;
    const url = new URL(work.url);
    const isTls = url.protocol === "https:";
    const mailboxes = recipients.map(({ mailbox }) => mailbox);
    const headers = requestFields({ message, recipients: mailboxes, attemptId, now: this.#clock.now() });
    const { secret } = this.settings;
    if (secret !== null) {
      const hmac = beginSignature(secret, headers);
      for await (const chunk of noting(message, traffic)) hmac.update(chunk);
      headers["OnArrival-Signature"] = endSignature(hmac);
    }
    signal.throwIfAborted();
    const options: RequestOptions = {
      method: "POST",
      headers,
      signal,
      maxHeaderSize: headerOctetsMax,
      agent: mayReuse ? (isTls ? this.#agents.https : this.#agents.http) : false,
    };
    if (!mayReuse && isTls) Object.assign(options, { ca: this.#agents.https.options.ca });
    const request = (isTls ? httpsRequest : httpRequest)(url, options);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once("response", (response) => {
        traffic.answered = true;
        resolve(response);
      });
      request.on("error", reject);
      // A program that wants to speak another protocol (101) gets neither: Node ends the connection without a word. RFC 9110 §7.8.
      request.once("close", () => reject(new Error("the connection was closed without an answer")));
    });
    request.once("socket", () => {
      traffic.reused = request.reusedSocket;
    });
    // A program may answer before it has read everything; then the rest is not sent, and its answer counts all the same.
    const sent = pipeline(Readable.from(noting(message, traffic)), request);
    sent.catch((error: unknown) => {
      if (!traffic.answered) request.destroy(error as Error);
    });
    const response = await answered;
    const read = await readCapped(response);
    if (!request.writableFinished) request.destroy();
    return { code: response.statusCode ?? 0, fields: response.headers, ...read };
  }
}

interface Traffic {
  answered: boolean;
  /** Over a connection that had been used before. */
  reused: boolean;
  /** Why the message could not be read. */
  unreadable?: unknown;
}

/** The message's octets. What is wrong with them is kept apart from what is wrong with the connection. */
async function* noting(message: Message, traffic: Traffic): AsyncGenerator<Buffer> {
  try {
    yield* message.chunks();
  } catch (error) {
    traffic.unreadable = error;
    throw error;
  }
}

/** The answer's beginning; the connection is not used again where there is more. */
async function readCapped(response: IncomingMessage): Promise<Pick<HttpAnswer, "body" | "brokenOff">> {
  const chunks: Buffer[] = [];
  let octets = 0;
  let brokenOff = false;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      octets += chunk.length;
      if (octets >= answerOctetsMax) break;
    }
  } catch {
    // The code has been said; what else it was to say is for http-outcome.ts to miss.
    brokenOff = true;
  }
  return { body: Buffer.concat(chunks).subarray(0, answerOctetsMax), brokenOff };
}

/** Of several addresses that were tried in vain Node says nothing but a code. */
function describe(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message ? describeThrown(error) : (code ?? describeThrown(error));
}

/** Nobody could be reached there: others need not try for a while. */
function isUnreachable(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"].includes(code ?? "");
}
