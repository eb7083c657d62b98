/** Runs inside the isolate: fetch, Request and Response. What goes out is a call as `context.http` makes them, with the same grants and limits. */
import { type AbortSignalLike, runInHand } from "./calls.ts";
import { askHttp } from "./calls-http.ts";
import { append, jsonOf, lowerCase, matches, RangeErrorOf, TypeErrorOf, toText } from "./primordials.ts";
import type { Blob } from "./web-blob.ts";
import { Body } from "./web-body.ts";
import { addField, fieldsOf, Headers, lockHeaders } from "./web-headers.ts";
import { defineGlobal, nameClass, toNumber, upperCase } from "./web-primordials.ts";
import type { ReadableStream } from "./web-streams.ts";
import { hrefOf, URL } from "./web-url.ts";

interface ResponseInit {
  readonly status?: unknown;
  readonly statusText?: unknown;
  readonly headers?: unknown;
}

interface RequestInit {
  readonly method?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly redirect?: unknown;
  readonly signal?: unknown;
}

const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;
const knownMethod = /^(?:delete|get|head|options|post|put)$/i;

/** Answers of a server: status 0 and a body with status 204 are theirs to know. */
let answerWith: (body: Body, status: number, headers: Headers, url: string, redirected?: boolean) => Response;

export class Response {
  #body: Body;
  #status = 200;
  #statusText = "";
  #headers: Headers;
  #url = "";
  #redirected = false;

  static {
    answerWith = (body, status, headers, url, redirected = false) => {
      const response = new Response();
      response.#body = body;
      response.#status = status;
      response.#headers = lockHeaders(headers);
      response.#url = url;
      response.#redirected = redirected;
      return response;
    };
  }

  constructor(body?: unknown, init?: ResponseInit) {
    const status = init?.status === undefined ? 200 : toNumber(init.status);
    if (!(status >= 200 && status <= 599)) throw new RangeErrorOf("A status is a number from 200 to 599");
    this.#status = status;
    if (init?.statusText !== undefined) this.#statusText = toText(init.statusText);
    this.#headers = new Headers(init?.headers);
    this.#body = new Body(body);
    if (!this.#body.isNull && (status === 204 || status === 205 || status === 304))
      throw new TypeErrorOf(`An answer of status ${status} has no body`);
    typeHeader(this.#headers, this.#body);
  }

  static json(value: unknown, init?: ResponseInit): Response {
    const text = jsonOf(value);
    if (text === "") throw new TypeErrorOf("Response.json takes what JSON can hold");
    const headers = new Headers(init?.headers);
    if (!hasField(headers, "content-type")) addField(headers, "content-type", "application/json");
    const response = new Response(text, init);
    response.#headers = headers;
    return response;
  }

  static error(): Response {
    return answerWith(new Body(null), 0, new Headers(), "");
  }

  static redirect(url: unknown, status: unknown = 302): Response {
    const code = toNumber(status);
    if (code !== 301 && code !== 302 && code !== 303 && code !== 307 && code !== 308)
      throw new RangeErrorOf("A redirect has a status of 301, 302, 303, 307 or 308");
    const headers = new Headers();
    addField(headers, "location", outgoing(url, undefined).url);
    return answerWith(new Body(null), code, headers, "");
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299;
  }

  get headers(): Headers {
    return this.#headers;
  }

  get url(): string {
    return this.#url;
  }

  get type(): string {
    return this.#status === 0 ? "error" : "default";
  }

  get redirected(): boolean {
    return this.#redirected;
  }

  get body(): ReadableStream | null {
    return this.#body.stream;
  }

  get bodyUsed(): boolean {
    return this.#body.isUsed;
  }

  clone(): Response {
    const headers = new Headers(this.#headers);
    const response = answerWith(this.#body.fork(), this.#status, headers, this.#url);
    response.#statusText = this.#statusText;
    return response;
  }

  async text(): Promise<string> {
    return await this.#body.text();
  }

  async json(): Promise<unknown> {
    return await this.#body.json();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return await this.#body.arrayBuffer();
  }

  async bytes(): Promise<Uint8Array> {
    return await this.#body.octets();
  }

  async blob(): Promise<Blob> {
    return await this.#body.blob(textOf(this.#headers, "content-type"));
  }
}

interface Outgoing {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: Body;
  readonly follow: boolean;
  readonly signal: unknown;
}

let outgoingOf: (request: unknown) => Outgoing | null;

export class Request {
  #out: Outgoing;

  static {
    outgoingOf = (request) =>
      typeof request === "object" && request !== null && #out in request ? (request as Request).#out : null;
  }

  constructor(input: unknown, init?: RequestInit) {
    this.#out = outgoing(input, init);
  }

  get method(): string {
    return this.#out.method;
  }

  get url(): string {
    return this.#out.url;
  }

  get headers(): Headers {
    return this.#out.headers;
  }

  get redirect(): string {
    return this.#out.follow ? "follow" : "manual";
  }

  get signal(): unknown {
    return this.#out.signal;
  }

  get body(): ReadableStream | null {
    return this.#out.body.stream;
  }

  get bodyUsed(): boolean {
    return this.#out.body.isUsed;
  }

  clone(): Request {
    const request = new Request(this.#out.url);
    const { method, url, headers, body, follow, signal } = this.#out;
    request.#out = { method, url, headers: new Headers(headers), body: body.fork(), follow, signal };
    return request;
  }

  async text(): Promise<string> {
    return await this.#out.body.text();
  }

  async json(): Promise<unknown> {
    return await this.#out.body.json();
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return await this.#out.body.arrayBuffer();
  }

  async bytes(): Promise<Uint8Array> {
    return await this.#out.body.octets();
  }

  async blob(): Promise<Blob> {
    return await this.#out.body.blob(textOf(this.#out.headers, "content-type"));
  }
}

function outgoing(input: unknown, init: RequestInit | undefined): Outgoing {
  const from = outgoingOf(input);
  let url = from?.url;
  if (url === undefined) {
    const parsed = new URL(toText(input));
    url = hrefOf(parsed);
  }
  const method = init?.method === undefined ? (from?.method ?? "GET") : methodOf(init.method);
  const headers = new Headers(init?.headers ?? from?.headers);
  const body = init?.body === undefined || init.body === null ? (from?.body ?? new Body(null)) : new Body(init.body);
  if (!body.isNull && (method === "GET" || method === "HEAD")) throw new TypeErrorOf(`A ${method} request has no body`);
  typeHeader(headers, body);
  const redirect = init?.redirect === undefined ? null : toText(init.redirect);
  if (redirect !== null && redirect !== "follow" && redirect !== "manual")
    throw new TypeErrorOf('redirect is "follow" or "manual"');
  const follow = redirect === null ? (from?.follow ?? true) : redirect === "follow";
  return { method, url, headers, body, follow, signal: init?.signal ?? from?.signal ?? null };
}

async function fetch(input: unknown, init?: RequestInit): Promise<Response> {
  const state = runInHand("fetch");
  const { method, url, headers, body, follow, signal } = outgoing(input, init);
  const octets = body.isNull ? null : await body.octets();
  const pairs: (readonly [string, string])[] = [];
  const fields = fieldsOf(headers);
  for (let i = 0; i < fields.length; i++) append(pairs, [fields[i]!.name, fields[i]!.value] as const);
  const answer = await askHttp(state, {
    method,
    url,
    headers: pairs,
    body: octets,
    timeoutMs: null,
    follow,
    signal: signal as AbortSignalLike | null,
  });
  const { status, url: last, redirected, headers: told } = answer.value;
  const given = new Headers();
  for (let i = 0; i < told.length; i++) addField(given, told[i]![0], told[i]![1]);
  return answerWith(new Body(answer.bytes()), status, given, last, redirected);
}

function methodOf(given: unknown): string {
  const method = toText(given);
  if (!matches(methodToken, method)) throw new TypeErrorOf("An HTTP method is a word such as GET");
  return matches(knownMethod, method) ? upperCase(method) : method;
}

function typeHeader(headers: Headers, body: Body): void {
  if (body.type !== null && !hasField(headers, "content-type")) addField(headers, "content-type", body.type);
}

function hasField(headers: Headers, name: string): boolean {
  return textOf(headers, name) !== "";
}

/** The first of that name, which is in lower case. */
function textOf(headers: Headers, name: string): string {
  const fields = fieldsOf(headers);
  for (let i = 0; i < fields.length; i++) if (fields[i]!.name === name) return lowerCase(fields[i]!.value);
  return "";
}

nameClass(Response, "Response");
nameClass(Request, "Request");
defineGlobal("Response", Response);
defineGlobal("Request", Request);
defineGlobal("fetch", fetch);
