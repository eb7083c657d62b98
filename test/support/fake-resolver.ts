/** A resolver that knows what it is told; it passes the expectations of the real one (test/unit/platform/resolver.test.ts). */
import type { Clock } from "../../src/platform/clock.ts";
import type { Answer, LookupOptions, MxRecord, Resolver, TlsaRecord } from "../../src/platform/resolver.ts";

export interface FakeResolver extends Resolver {
  /** What was asked, in order: `4 mx.example`, `ptr 192.0.2.1`. */
  readonly asked: readonly string[];
}

/** Records by type and name in lower case. A name with a record of any type exists. */
export interface FakeRecords {
  readonly a?: Readonly<Record<string, readonly string[]>>;
  readonly aaaa?: Readonly<Record<string, readonly string[]>>;
  readonly mx?: Readonly<Record<string, readonly MxRecord[]>>;
  readonly txt?: Readonly<Record<string, readonly string[]>>;
  readonly tlsa?: Readonly<Record<string, readonly TlsaRecord[]>>;
  /** By address. */
  readonly ptr?: Readonly<Record<string, readonly string[]>>;
  /** Names and addresses whose look-ups fail at once. */
  readonly failing?: readonly string[];
  /** Those that are never answered: their look-ups end with their time. */
  readonly silent?: readonly string[];
  /** Those whose answers are signed and checked; `true` is all. */
  readonly authentic?: readonly string[] | true;
}

export function createFakeResolver(records: FakeRecords, clock: Clock): FakeResolver {
  const asked: string[] = [];
  const names = new Set(
    [records.a, records.aaaa, records.mx, records.txt, records.tlsa].flatMap((table) => Object.keys(table ?? {})),
  );
  const look = <T>(
    kind: string,
    name: string,
    table: Readonly<Record<string, readonly T[]>> = {},
    { timeoutMs = 5_000 }: LookupOptions = {},
  ): Promise<Answer<T>> => {
    const plain = name.replace(/\.$/, "").toLowerCase();
    asked.push(`${kind} ${plain}`);
    if (records.failing?.includes(plain)) return Promise.resolve({ kind: "failed", reason: "ESERVFAIL" });
    if (records.silent?.includes(plain))
      return new Promise((resolve) => {
        clock.after(timeoutMs, () => resolve({ kind: "failed", reason: `no answer within ${timeoutMs} ms` }));
      });
    const [first, ...rest] = table[plain] ?? [];
    const authentic = records.authentic === true || (records.authentic?.includes(plain) ?? false);
    return Promise.resolve(
      first === undefined
        ? { kind: "none", nameExists: names.has(plain), authentic }
        : { kind: "found", values: [first, ...rest], authentic },
    );
  };
  return {
    asked,
    address: (name, family, options) => look(String(family), name, family === 4 ? records.a : records.aaaa, options),
    async mx(name, options) {
      const answer = await look("mx", name, records.mx, options);
      if (answer.kind !== "found") return answer;
      const [first, ...rest] = [...answer.values].sort((one, other) => one.preference - other.preference);
      return { ...answer, values: [first!, ...rest] };
    },
    txt: (name, options) => look("txt", name, records.txt, options),
    reverse: (ip, options) => look("ptr", ip, records.ptr, options),
    tlsa: (name, options) => look("tlsa", name, records.tlsa, options),
  };
}
