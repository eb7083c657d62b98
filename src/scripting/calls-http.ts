/**
 * One HTTP request of a script, redirects included. A script's URL may come from a message, so nothing of the machine's own network can be reached by it: the name is
 * looked up by the server's resolver, every address it has is looked at, and one of these very addresses is connected to; at each redirect all of it anew.
 */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import type { HostAnswer, HostQuestion } from "../../sandbox/host-call.ts";

import { isHostName, plainName } from "../platform/dns-message.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Resolver } from "../platform/resolver.ts";

export interface HttpSettings {
  /** Whether the script may ask this origin: `https://directory.example.org`. */
  readonly isGranted: (origin: string) => boolean;
  readonly resolver: Pick<Resolver, "address">;
  /** What speaks against an address: `a private address`. */
  readonly objectionTo: (ip: string) => string | undefined;
  /** Of the request's body, and of the answer's. */
  readonly octetsMax: number;
  /** For all of it; a request may ask for less. */
  readonly timeoutMs: number;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
}

type HttpQuestion = HostQuestion & { readonly kind: "http" };

/** A request as it stands after the redirects so far. */
interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array | null;
}

const redirectsMax = 3;
/** Fields that are ours to write: they say where a message ends, and what the connection is. RFC 9110 §7.6.1, RFC 9112 §6. */
const ownFields =
  /^(?:host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|accept-encoding|proxy-.*)$/i;
/** What only the origin it was meant for may see. */
const credentialFields = /^(?:authorization|cookie|cookie2)$/i;
const contentFields = /^content-/i;
const tlsErrors = /^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_)/;
const connectErrors = /^E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH|ADDRNOTAVAIL|TIMEDOUT|ACCES)$/;
/** Mail's own servers take commands from a request's body. */
const mailPorts = new Set(["25", "110", "143", "465", "587", "993", "995"]);

/** Why there is no answer, for the script. */
class NoAnswer extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Any status is an answer. Never throws. */
export async function callHttp(
  question: HttpQuestion,
  body: Uint8Array | null,
  gaveUp: AbortSignal,
  settings: HttpSettings,
): Promise<HostAnswer> {
  const timeoutMs = Math.min(question.timeoutMs ?? settings.timeoutMs, settings.timeoutMs);
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new NoAnswer("timeout", `No answer within ${timeoutMs} ms`)), timeoutMs);
  const giveUp = () => end.abort(new NoAnswer("aborted", "Nobody waits for the answer any more"));
  gaveUp.addEventListener("abort", giveUp);
  if (gaveUp.aborted) giveUp();
  try {
    return await Promise.race([follow(question, body, settings, end.signal), aborted(end.signal)]);
  } catch (thrown) {
    const { code, message } = end.signal.aborted ? (end.signal.reason as NoAnswer) : noAnswerOf(thrown);
    return { ok: false, code, message };
  } finally {
    clearTimeout(timer);
    gaveUp.removeEventListener("abort", giveUp);
    // Whatever there still is of a connection goes with it.
    end.abort(new NoAnswer("aborted", "It is over"));
  }
}

async function follow(
  question: HttpQuestion,
  body: Uint8Array | null,
  settings: HttpSettings,
  signal: AbortSignal,
): Promise<HostAnswer> {
  const { octetsMax } = settings;
  checkRequest(question, body, octetsMax);
  let hop: Hop = { url: new URL(question.url), method: question.method, headers: question.headers, body };
  for (let redirects = 0; ; redirects++) {
    const response = await send(hop, settings, signal);
    const next = question.follow ? redirectOf(hop, response) : undefined;
    if (next === undefined) {
      const encoding = response.headers["content-encoding"] ?? "identity";
      // None was asked for. To unpack it would be to take a few octets for a great many.
      if (encoding !== "identity" && encoding !== "")
        throw new NoAnswer("encoding", `The answer is compressed (${encoding}), which was not asked for`);
      const octets = await readBody(response, octetsMax);
      return {
        ok: true,
        value: {
          status: response.statusCode ?? 0,
          url: hop.url.href,
          redirected: redirects > 0,
          headers: Object.entries(response.headersDistinct).map(([name, values = []]) => [name, values.join(", ")]),
        },
        body: octets,
      };
    }
    response.destroy();
    if (redirects === redirectsMax) throw new NoAnswer("redirects", `More than ${redirectsMax} redirects`);
    if (!settings.isGranted(next.url.origin))
      throw new NoAnswer("not-granted", `Redirected to ${next.url.origin}, which is not granted`);
    hop = next;
  }
}

/** @throws {NoAnswer} where it is none that we send */
function checkRequest({ method, headers }: HttpQuestion, body: Uint8Array | null, octetsMax: number): void {
  if (/^(?:CONNECT|TRACE|TRACK)$/.test(method)) throw new NoAnswer("invalid", `${method} is not for scripts`);
  if (body !== null && /^(?:GET|HEAD)$/.test(method)) throw new NoAnswer("invalid", `${method} has no body`);
  if (body !== null && body.length > octetsMax)
    throw new NoAnswer("too-large", `The request has more than ${octetsMax} octets (scripts.grants.http_size_max)`);
  for (const [name] of headers)
    if (ownFields.test(name)) throw new NoAnswer("invalid", `${name} is not a script's to set`);
}

async function send(hop: Hop, settings: HttpSettings, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, method, headers, body } = hop;
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new NoAnswer("invalid", `${url.protocol} is neither http: nor https:`);
  if (url.username !== "" || url.password !== "")
    throw new NoAnswer("invalid", "A URL with a password in it is not asked: set the field Authorization");
  if (mailPorts.has(url.port)) throw new NoAnswer("invalid", `Port ${url.port} is mail's, and not asked by HTTP`);
  const addresses = await addressesOf(url.hostname, settings, signal);
  const { certificateAuthorities } = settings;
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(url, {
    method,
    headers: { ...fieldsOf(headers), ...(body === null ? {} : { "content-length": String(body.length) }) },
    // A connection for this request alone: what one script left on it no other one finds, and no proxy of the environment is asked.
    agent: false,
    signal,
    lookup: answerWith(addresses),
    // Node's own default is the environment's to change.
    rejectUnauthorized: true,
    ...(certificateAuthorities === undefined ? {} : { ca: certificateAuthorities }),
  });
  outgoing.on("response", resolve);
  outgoing.on("error", reject);
  // Nobody can be switched over to.
  outgoing.on("upgrade", (_response, socket) => {
    socket.destroy();
    reject(new NoAnswer("broken", "The server wants another protocol"));
  });
  outgoing.end(body ?? undefined);
  return promise;
}

/** All addresses of a host, none of which may speak against it: a name that has a private one beside a public one is not asked. @throws {NoAnswer} */
async function addressesOf(
  hostname: string,
  { resolver, objectionTo }: HttpSettings,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const host = plainName(hostname.replace(/^\[|\]$/g, ""));
  const addresses = isIP(host) > 0 ? [host] : await lookUp(host, resolver);
  signal.throwIfAborted();
  for (const address of addresses) {
    const objection = objectionTo(address);
    if (objection)
      throw new NoAnswer(
        "private-address",
        `${host} has ${objection}, ${address}, which scripts do not reach (scripts.grants.private_addresses)`,
      );
  }
  return addresses;
}

async function lookUp(host: string, resolver: HttpSettings["resolver"]): Promise<readonly string[]> {
  if (!isHostName(host)) throw new NoAnswer("name", `${host.slice(0, 100)} is no name of a host`);
  const answers = await Promise.all([resolver.address(host, 4), resolver.address(host, 6)]);
  const found = answers.flatMap((answer) => (answer.kind === "found" ? answer.values : []));
  if (found.length > 0) return found;
  const failed = answers.find((answer) => answer.kind === "failed");
  throw new NoAnswer("name", failed ? `${host} cannot be looked up: ${failed.reason}` : `${host} has no address`);
}

/** The addresses that were looked at, in the place of what the system would find. */
function answerWith(addresses: readonly string[]): LookupFunction {
  const list = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_host, { all }, callback) => {
    if (all) callback(null, list);
    else callback(null, list[0]!.address, list[0]!.family);
  };
}

/** By name in lower case, in which ours stand as well: a script's own is in the place of ours. */
function fieldsOf(headers: Hop["headers"]): Record<string, string[]> {
  const fields = new Map([
    ["user-agent", ["OnArrival"]],
    ["accept-encoding", ["identity"]],
  ]);
  const given = Map.groupBy(headers, ([name]) => name.toLowerCase());
  for (const [name, pairs] of given)
    fields.set(
      name,
      pairs.map(([, value]) => value),
    );
  return Object.fromEntries(fields);
}

/** Where an answer leads; undefined where it leads nowhere. RFC 9110 §15.4. @throws {NoAnswer} */
function redirectOf(hop: Hop, response: IncomingMessage): Hop | undefined {
  const { statusCode: status = 0 } = response;
  const { location } = response.headers;
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined;
  const url = URL.parse(location, hop.url);
  if (!url) throw new NoAnswer("broken", "Redirected to what is no URL");
  let { method, headers, body } = hop;
  // As everybody does, and 307 and 308 are there for those who do not want it.
  if ((status === 303 && method !== "HEAD") || (status < 303 && method === "POST")) {
    method = "GET";
    body = null;
    headers = headers.filter(([name]) => !contentFields.test(name));
  }
  if (url.origin !== hop.url.origin) headers = headers.filter(([name]) => !credentialFields.test(name));
  return { url, method, headers, body };
}

async function readBody(response: IncomingMessage, octetsMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeOctets = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeOctets += chunk.length;
    if (sizeOctets > octetsMax)
      throw new NoAnswer("too-large", `The answer has more than ${octetsMax} octets (scripts.grants.http_size_max)`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    if (signal.aborted) reject(signal.reason as Error);
  });
}

function noAnswerOf(thrown: unknown): { readonly code: string; readonly message: string } {
  if (thrown instanceof NoAnswer) return thrown;
  // Several addresses that were all tried.
  const cause: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  const { code = "" } = cause as NodeJS.ErrnoException;
  const message = describeThrown(cause, 300);
  if (connectErrors.test(code)) return { code: "refused", message: `Nobody answers: ${message}` };
  if (tlsErrors.test(code)) return { code: "tls", message: `TLS failed: ${message}` };
  return { code: "broken", message: `The connection broke: ${message}` };
}
