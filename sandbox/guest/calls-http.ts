/** Runs inside the isolate: `http` of a context. What may be asked, and of whom, is for the server to say; here arguments become a question, and the answer is read. */
import type { Http, HttpBody, HttpOptions, HttpResponse } from "../api.ts";
import { type AbortSignalLike, askServer, type ServerAnswer } from "./calls.ts";
import {
  append,
  Bytes,
  codeAt,
  freeze,
  getPrototypeOf,
  isArray,
  jsonOf,
  jsonParse,
  lowerCase,
  matches,
  quote,
  slice,
  TypeErrorOf,
  toText,
} from "./primordials.ts";
import type { RunState } from "./run-state.ts";

/** A request, as far as it is taken apart. Names of fields are in lower case. */
export interface HttpQuestion {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | Uint8Array | null;
  readonly timeoutMs: number | null;
  readonly follow: boolean;
  readonly signal?: AbortSignalLike | null;
}

/** What an answer holds beside its body. */
export interface HttpAnswer {
  readonly status: number;
  readonly url: string;
  readonly redirected: boolean;
  /** Names in lower case; one that came several times has its values joined. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const methodText = /^[A-Za-z]{1,20}$/;
const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const fieldsMax = 100;
const valueLengthMax = 8_192;
const urlLengthMax = 8_192;
const ObjectPrototype = Object.prototype;
const { keys } = Object;
const { isView } = ArrayBuffer;
const upperCase = String.prototype.toUpperCase;
const { apply } = Reflect;
const BufferOf = ArrayBuffer;

/** Sends a request. Rejects with an HttpError, or with a TypeError where it is none. */
export function askHttp(
  state: RunState,
  question: HttpQuestion,
): Promise<ServerAnswer & { readonly value: HttpAnswer }> {
  const { method, url, headers, body, timeoutMs, follow, signal } = question;
  if (!matches(methodText, method)) throw new TypeErrorOf("An HTTP method is a word such as GET");
  if (url.length > urlLengthMax) throw new TypeErrorOf(`A URL has at most ${urlLengthMax} characters`);
  if (headers.length > fieldsMax) throw new TypeErrorOf(`A request has at most ${fieldsMax} header fields`);
  let fields = "";
  for (let i = 0; i < headers.length; i++) {
    const pair = headers[i]!;
    checkField(pair[0], pair[1]);
    fields += `${i === 0 ? "" : ","}[${quote(pair[0])},${quote(pair[1])}]`;
  }
  const json = `{"kind":"http","method":${quote(apply(upperCase, method, []))},"url":${quote(url)},"headers":[${fields}],"hasBody":${body !== null},"timeoutMs":${timeoutMs},"follow":${follow}}`;
  return askServer(state, { json, errorName: "HttpError", body, signal: signal ?? null }) as never;
}

export function createHttp(state: RunState): Http {
  const request = async (
    method: string,
    url: unknown,
    body: unknown,
    options: HttpOptions = {},
  ): Promise<HttpResponse> => {
    const headers: (readonly [string, string])[] = [];
    const given: Readonly<Record<string, unknown>> = options.headers ?? {};
    const names = keys(given);
    let hasType = false;
    for (let i = 0; i < names.length; i++) {
      const name = lowerCase(names[i]!);
      hasType ||= name === "content-type";
      append(headers, [name, toText(given[names[i]!])] as const);
    }
    const written = bodyOf(body);
    if (written.type !== "" && !hasType) append(headers, ["content-type", written.type] as const);
    const answer = await askHttp(state, {
      method: toText(method),
      url: toText(url),
      headers,
      body: written.body,
      timeoutMs: timeoutOf(options.timeout),
      follow: options.follow !== false,
      signal: (options.signal ?? null) as AbortSignalLike | null,
    });
    return new Response(answer);
  };
  return freeze({
    get: (url: unknown, options?: HttpOptions) => request("GET", url, undefined, options),
    post: (url: unknown, body?: HttpBody, options?: HttpOptions) => request("POST", url, body, options),
    request: (method: string, url: unknown, options?: HttpOptions & { readonly body?: HttpBody }) =>
      request(method, url, options?.body, options),
  });
}

class Response implements HttpResponse {
  readonly #answer: ServerAnswer & { readonly value: HttpAnswer };

  constructor(answer: ServerAnswer & { readonly value: HttpAnswer }) {
    this.#answer = answer;
  }

  get status(): number {
    return this.#answer.value.status;
  }

  get ok(): boolean {
    const { status } = this.#answer.value;
    return status >= 200 && status < 300;
  }

  get url(): string {
    return this.#answer.value.url;
  }

  get headers(): HttpResponse["headers"] {
    const { headers } = this.#answer.value;
    const get = (name: string): string | null => {
      const wanted = lowerCase(toText(name));
      for (let i = 0; i < headers.length; i++) if (headers[i]![0] === wanted) return headers[i]![1];
      return null;
    };
    return freeze({ get, has: (name: string) => get(name) !== null });
  }

  async text(): Promise<string> {
    return this.#answer.text();
  }

  async json(): Promise<unknown> {
    return jsonParse(this.#answer.text());
  }

  async bytes(): Promise<Uint8Array> {
    return this.#answer.bytes();
  }
}

freeze(Response.prototype);

function bodyOf(given: unknown): { readonly body: string | Uint8Array | null; readonly type: string } {
  if (given === undefined || given === null) return { body: null, type: "" };
  if (typeof given === "string") return { body: given, type: "text/plain;charset=UTF-8" };
  if (given instanceof Bytes) return { body: given, type: "" };
  if (given instanceof BufferOf) return { body: new Bytes(given), type: "" };
  if (typeof given !== "object" || isView(given))
    throw new TypeErrorOf(
      "The body of a request is a text, a Uint8Array, an ArrayBuffer, URLSearchParams, or an object for JSON",
    );
  // Anything that is no plain object and knows what it is as a text: URLSearchParams.
  const prototype = getPrototypeOf(given);
  if (prototype !== null && prototype !== ObjectPrototype && !isArray(given) && "append" in given && "getAll" in given)
    return { body: toText(given), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  const json = jsonOf(given);
  if (json === "") throw new TypeErrorOf("The body of a request cannot be written as JSON");
  return { body: json, type: "application/json" };
}

/** @throws {TypeError} where it cannot be written. RFC 9110 §5.5. */
function checkField(name: string, value: string): void {
  if (!matches(fieldName, name)) throw new TypeErrorOf(`${quote(slice(name, 0, 60))} is no name of a header field`);
  if (value.length > valueLengthMax)
    throw new TypeErrorOf(`The value of ${name} is longer than ${valueLengthMax} characters`);
  for (let i = 0; i < value.length; i++) {
    const code = codeAt(value, i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff)
      throw new TypeErrorOf(`The value of ${name} has a character that no header field can hold`);
  }
}

function timeoutOf(given: number | undefined): number | null {
  if (given === undefined) return null;
  if (typeof given !== "number" || !(given > 0 && given <= 3_600_000))
    throw new TypeErrorOf("timeout is a number of milliseconds, above 0");
  return given;
}
