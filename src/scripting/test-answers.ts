/**
 * What a script in a test hears where it asks the server something: answers that were written down beforehand (docs/testing.md), behind the same checks of grants and
 * limits as in the server. Nothing outside is asked; a question without an answer ends the run, and the fault names the answer that is missing. A store is always there:
 * it is empty, or holds what was written down.
 */
import type { Json } from "../../sandbox/api.ts";
import type { HostAnswer, HostCalls } from "../../sandbox/host-call.ts";
import type { Grants } from "../../sandbox/protocol.ts";
import { Fault } from "../platform/fault.ts";
import { silentLog } from "../platform/log.ts";
import { type CallResolver, createServerCalls, type KvStore, type NetworkQuestion } from "./calls.ts";
import type { WrittenAnswers, WrittenHttp } from "./test-answers-file.ts";

/** What was asked, for whoever looks at the test's result. */
export interface AskedInTest {
  /** `POST https://hooks.example.org/mail`, `dns MX example.org`, `kv.set seen`. */
  readonly ask: string;
  /** Of a request, as JSON where it is that; the value that was set. */
  readonly body?: Json;
}

/** Requests of one run that the limits of the configuration are not to be about. */
const httpOctetsMax = 268_435_456;
const timeoutMs = 60_000;
const noResolver: CallResolver = {
  address: () => Promise.reject(new Error("No names are looked up in a test")),
  mx: () => Promise.reject(new Error("No names are looked up in a test")),
  txt: () => Promise.reject(new Error("No names are looked up in a test")),
  reverse: () => Promise.reject(new Error("No names are looked up in a test")),
};

/** The answers of one test, and what was asked of them. */
export class TestAnswers {
  readonly #answers: WrittenAnswers;
  readonly #source: string;
  readonly #given = new Set<WrittenHttp>();
  readonly #store: Map<string, Json>;
  /** What was asked of them since they began. */
  asked: AskedInTest[] = [];

  /** @param source Where an answer that is missing belongs. */
  constructor(answers: WrittenAnswers, source: string) {
    this.#answers = answers;
    this.#source = source;
    this.#store = new Map(Object.entries(answers.kv));
  }

  /** The store stays; answers that are given once may be given again, and what is asked goes into `asked`. */
  begin(asked: AskedInTest[]): void {
    this.#given.clear();
    this.asked = asked;
  }

  /** For a script with these grants. The configuration is not asked: a version is held against it before it goes live. */
  calls({ http = [], secrets = [] }: Grants): HostCalls {
    const calls = createServerCalls({
      limits: () => ({
        http,
        secrets,
        dns: true,
        kv: true,
        privateAddresses: true,
        httpRequestsMax: 10,
        httpOctetsMax,
        httpTimeoutMs: timeoutMs,
      }),
      resolver: noResolver,
      network: async (question, body) => this.#answer(question, body),
      kv: storeOf(this.#store, (ask) => this.asked.push(ask)),
      secrets: {
        read: async (name) => {
          const secret = this.#answers.secrets[name];
          return secret === undefined ? this.#missing(`secret ${name}`, `"secrets"`) : { ok: true, value: secret };
        },
      },
      log: silentLog,
    });
    return calls;
  }

  #answer(question: NetworkQuestion, body: Uint8Array | null): HostAnswer {
    if (question.kind !== "http") {
      const ask =
        question.kind === "dns" ? `${question.type} ${question.name}` : `listed ${question.list} ${question.subject}`;
      this.asked.push({ ask: `dns ${ask}` });
      const value = Object.hasOwn(this.#answers.dns, ask) ? this.#answers.dns[ask] : undefined;
      if (value === undefined) return this.#missing(ask, `"dns"`);
      return failureOf(value) ?? { ok: true, value };
    }
    const { method, url } = question;
    const request = `${method} ${URL.parse(url)?.href ?? url}`;
    this.asked.push({ ask: request, ...(body !== null && { body: jsonOr(Buffer.from(body).toString()) }) });
    const fitting = this.#answers.http.filter((one) => fits(one.request, request));
    const answer = fitting.find((one) => !this.#given.has(one)) ?? fitting.at(-1);
    if (!answer) return this.#missing(request, `"http"`);
    this.#given.add(answer);
    if (answer.error !== null)
      return { ok: false, code: answer.error, message: `${request} fails in this test: ${answer.error}` };
    const octets = Buffer.from(answer.body);
    const value = { status: answer.status, url, redirected: false, headers: Object.entries(answer.headers) };
    return { ok: true, value, body: octets };
  }

  #missing(ask: string, part: string): HostAnswer {
    const message = `The test has no answer for ${ask}: it belongs under ${part} in ${this.#source}`;
    return { ok: false, code: "no-answer", message, fatal: "script.no-answer" };
  }
}

/** A store in memory; times to live do not pass in a test. */
function storeOf(store: Map<string, Json>, told: (ask: AskedInTest) => void): KvStore {
  return {
    async get(_script, key) {
      told({ ask: `kv.get ${key}` });
      return store.get(key) ?? null;
    },
    async set(_script, key, value, { ifAbsent }) {
      told({ ask: `kv.set ${key}`, body: value });
      if (ifAbsent && store.has(key)) return false;
      store.set(key, value);
      return true;
    },
    async delete(_script, key) {
      told({ ask: `kv.delete ${key}` });
      return store.delete(key);
    },
    async increment(_script, key, by) {
      const before = store.get(key) ?? 0;
      if (typeof before !== "number") throw new Fault("script.action-invalid", `Cannot add to ${key}: it is no number`);
      told({ ask: `kv.increment ${key}`, body: by });
      store.set(key, before + by);
      return before + by;
    },
    async list(_script, prefix, { limit, after }) {
      told({ ask: `kv.list ${prefix}` });
      return [...store.keys()]
        .filter((key) => key.startsWith(prefix) && key > after)
        .sort()
        .slice(0, limit);
    },
  };
}

function fits(written: string, request: string): boolean {
  if (written.endsWith("*")) return request.startsWith(written.slice(0, -1));
  const space = written.indexOf(" ");
  return request === `${written.slice(0, space)} ${URL.parse(written.slice(space + 1))?.href}`;
}

/** `{ "error": "unanswered" }` in the place of records. */
function failureOf(value: Json): HostAnswer | null {
  if (typeof value !== "object" || value === null || !("error" in value)) return null;
  const code = String(value["error"]);
  return { ok: false, code, message: `DNS gives no answer in this test: ${code}` };
}

function jsonOr(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}
