/**
 * What became of TLS towards other servers, counted by day, domain, policy, host and result, as reports on it want it: RFC 8460 §4. Kept on disk; sending
 * such reports is not done here.
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../platform/clock.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { describeThrown } from "../platform/fault.ts";
import type { Log } from "../platform/log.ts";

/** Why so much TLS was asked for: an option, DANE, MTA-STS, or nothing more than opportunity. */
export type TlsReason = "config" | "dane" | "mta-sts" | "default";

export interface RecordedTls {
  /** The recipients' domain. */
  readonly domain: string;
  readonly policy: TlsReason;
  readonly host: string;
  /** `success`, or a result type of RFC 8460 §4.3. */
  readonly result: string;
}

/** RFC 8460 §4.2. */
export type TlsPolicyType = "tlsa" | "sts" | "no-policy-found";

export interface TlsReportRow {
  /** The UTC day: `2026-01-05`. */
  readonly day: string;
  readonly domain: string;
  readonly policyType: TlsPolicyType;
  readonly host: string;
  readonly result: string;
  /** Sessions. */
  readonly count: number;
}

export interface TlsReport {
  /** Oldest day first. */
  readonly rows: readonly TlsReportRow[];
  /** Since the process began, by policy type and result; both from closed sets, for metrics. */
  readonly totals: readonly Pick<TlsReportRow, "policyType" | "result" | "count">[];
}

export interface TlsCountsOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Days kept, today included. */
  readonly daysMax?: number;
  /** Rows of a day; what comes above is counted under the domain and host `(others)`. */
  readonly rowsMax?: number;
}

/** RFC 8460 §4.3.1 and §4.3.2. */
const resultTypes: ReadonlySet<string> = new Set([
  "success",
  "starttls-not-supported",
  "certificate-host-mismatch",
  "certificate-expired",
  "certificate-not-trusted",
  "validation-failure",
  "tlsa-invalid",
  "dnssec-invalid",
  "dane-required",
  "sts-policy-fetch-error",
  "sts-policy-invalid",
  "sts-webpki-invalid",
]);
const policyTypes = {
  dane: "tlsa",
  "mta-sts": "sts",
  config: "no-policy-found",
  default: "no-policy-found",
} as const satisfies Record<TlsReason, TlsPolicyType>;
const others = "(others)";
/** A crash costs the counts of the last minute. */
const saveAfterMs = 60_000;

export class TlsCounts {
  readonly #options: TlsCountsOptions;
  /** By day, then by the row's other fields. */
  readonly #days = new Map<string, Map<string, number>>();
  readonly #totals = new Map<string, number>();
  #cancelSave: (() => void) | null = null;
  #saving: Promise<void> = Promise.resolve();

  private constructor(options: TlsCountsOptions) {
    this.#options = options;
  }

  /** Reads what is kept. A file that cannot be read is told to the log, and counting begins anew. */
  static async open(options: TlsCountsOptions): Promise<TlsCounts> {
    const counts = new TlsCounts(options);
    try {
      const { rows } = JSON.parse(await readFile(options.path, "utf8")) as { readonly rows?: unknown };
      if (!Array.isArray(rows) || !rows.every(isRow)) throw new Error("expected rows");
      for (const { day, domain, policyType, host, result, count } of rows)
        counts.#add(day, [domain, policyType, host, result], count);
      counts.#forget();
    } catch (error) {
      counts.#days.clear();
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        options.log.error("tls-report.unreadable", { file: options.path, reason: describeThrown(error) });
    }
    return counts;
  }

  /** Counts one session. A result that RFC 8460 does not name is a `validation-failure`. */
  record({ domain, policy, host, result }: RecordedTls): void {
    const { clock } = this.#options;
    const known = resultTypes.has(result) ? result : "validation-failure";
    const type = policyTypes[policy];
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    if (!this.#days.has(day)) {
      this.#days.set(day, new Map());
      this.#forget();
    }
    this.#add(day, [domain, type, host, known], 1);
    const total = keyOf([type, known]);
    this.#totals.set(total, (this.#totals.get(total) ?? 0) + 1);
    this.#cancelSave ??= clock.after(saveAfterMs, () => void this.save());
  }

  report(): TlsReport {
    const rows = [...this.#days].flatMap(([day, counts]) =>
      [...counts].map(([key, count]): TlsReportRow => {
        const [domain = "", policyType, host = "", result = ""] = key.split("\n");
        // The key was made of such a one.
        return { day, domain, policyType: policyType as TlsPolicyType, host, result, count };
      }),
    );
    const totals = [...this.#totals].map(([key, count]) => {
      const [policyType, result = ""] = key.split("\n");
      return { policyType: policyType as TlsPolicyType, result, count };
    });
    return { rows: rows.sort((one, other) => compare(one.day, other.day)), totals };
  }

  save(): Promise<void> {
    this.#cancelSave?.();
    this.#cancelSave = null;
    this.#saving = this.#saving.then(async () => {
      const { path, log } = this.#options;
      try {
        await writeDurably(path, [Buffer.from(`${JSON.stringify({ rows: this.report().rows }, null, 1)}\n`)]);
      } catch (error) {
        log.error("tls-report.not-saved", { file: path, reason: describeThrown(error) });
      }
    });
    return this.#saving;
  }

  async close(): Promise<void> {
    if (this.#cancelSave) await this.save();
    await this.#saving;
  }

  #add(
    day: string,
    fields: readonly [domain: string, type: TlsPolicyType, host: string, result: string],
    count: number,
  ): void {
    let counts = this.#days.get(day);
    if (!counts) this.#days.set(day, (counts = new Map()));
    const [, type, , result] = fields;
    let key = keyOf(fields);
    // The rows of all others are as few as there are policy types and results.
    if (!counts.has(key) && counts.size >= (this.#options.rowsMax ?? 5_000))
      key = keyOf([others, type, others, result]);
    counts.set(key, (counts.get(key) ?? 0) + count);
  }

  #forget(): void {
    const kept = new Set([...this.#days.keys()].sort().slice(-(this.#options.daysMax ?? 8)));
    for (const day of this.#days.keys()) if (!kept.has(day)) this.#days.delete(day);
  }
}

function keyOf(fields: readonly string[]): string {
  return fields.join("\n");
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function isRow(value: unknown): value is TlsReportRow {
  if (typeof value !== "object" || value === null) return false;
  const { day, domain, policyType, host, result, count } = value as Readonly<Record<string, unknown>>;
  return (
    typeof day === "string" &&
    /^\d{4}-\d\d-\d\d$/.test(day) &&
    typeof domain === "string" &&
    typeof host === "string" &&
    typeof result === "string" &&
    Object.values(policyTypes).some((type) => type === policyType) &&
    Number.isSafeInteger(count) &&
    Number(count) > 0
  );
}
