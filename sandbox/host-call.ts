/**
 * What a script may ask of the server while it runs, and what it hears: HTTP, names, its store, secrets. The child process only passes it on; who answers
 * (src/scripting/calls.ts) checks every question against the script's grants.
 */
import type { Json } from "./api.ts";

export type HostQuestion =
  | {
      readonly kind: "http";
      readonly method: string;
      readonly url: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** Whether the call has a body; its octets come beside it. */
      readonly hasBody: boolean;
      readonly timeoutMs: number | null;
      readonly follow: boolean;
    }
  | { readonly kind: "dns"; readonly type: "A" | "AAAA" | "MX" | "TXT" | "PTR"; readonly name: string }
  | { readonly kind: "dns.listed"; readonly list: string; readonly subject: string }
  | { readonly kind: "kv.get" | "kv.delete"; readonly key: string }
  | {
      readonly kind: "kv.set";
      readonly key: string;
      readonly value: Json;
      readonly ttlS: number | null;
      readonly ifAbsent: boolean;
    }
  | { readonly kind: "kv.increment"; readonly key: string; readonly by: number; readonly ttlS: number | null }
  | { readonly kind: "kv.list"; readonly prefix: string; readonly limit: number; readonly after: string }
  | { readonly kind: "secret"; readonly name: string }
  /** Answered when the time is over (`sleep`, below). */
  | { readonly kind: "sleep"; readonly ms: number }
  /** The script does not wait for that call any more; not answered. */
  | { readonly kind: "cancel"; readonly call: number };

/**
 * `body` is octets where it is handed around, and their number where it travels. `at` is what the script's clock shows with it, in milliseconds since the Unix epoch; the
 * time of the answer where absent.
 */
export type HostAnswer<Body = Uint8Array> =
  | { readonly ok: true; readonly value: Json; readonly body?: Body; readonly at?: number }
  /** `code` is for the script: "not-granted", "timeout", "private-address" …; `fatal` where the run is over with it, as a fault of that code. */
  | {
      readonly ok: false;
      readonly code: string;
      readonly message: string;
      readonly fatal?: "grant.missing" | "grant.limit" | "script.no-answer" | "script.replay-diverged";
      readonly at?: number;
    };

/** What a script asks to be granted, as it was exported and checked; what is absent is not asked for. */
export interface Grants {
  /** Origins: `https://host`, `https://host:8443`, `https://*.host`. */
  readonly http?: readonly string[];
  readonly dns?: true;
  readonly kv?: true;
  /** Messages a run may make, and to whom: addresses, domains, `*.domain`; null is anybody. */
  readonly submit?: { readonly max: number; readonly to: readonly string[] | null };
  readonly secrets?: readonly string[];
}

/** Whose question it is: one object for all questions of one step of one run. */
export interface Asker {
  readonly bindingId: string;
  /** Index of the step in the request. */
  readonly step: number;
  readonly version: string;
  /** Name of the script: `scripts/tag-external.ts`. */
  readonly script: string;
  readonly grants: Grants;
}

export interface HostCalls {
  /** Never rejects. Called for each question of a run; `signal` fires when nobody waits for the answer any more. */
  answer(asker: Asker, question: HostQuestion, body: Uint8Array | null, signal: AbortSignal): Promise<HostAnswer>;
}

/** The answer to a `sleep`: nothing, when its time is over or nobody waits any more. */
export function sleep(ms: number, signal: AbortSignal): Promise<HostAnswer> {
  const { promise, resolve } = Promise.withResolvers<HostAnswer>();
  const done = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", done);
    resolve({ ok: true, value: null });
  };
  const timer = setTimeout(done, ms);
  signal.addEventListener("abort", done);
  return promise;
}

/** For runs in which nothing outside is real: every question but the clock's is answered with a fault. */
export const noCalls: HostCalls = {
  answer: async (_asker, question, _body, signal) =>
    question.kind === "sleep"
      ? sleep(question.ms, signal)
      : { ok: false, code: "not-granted", message: `${question.kind} is not available here`, fatal: "grant.missing" },
};
