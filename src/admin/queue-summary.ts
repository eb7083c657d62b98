/** How many recipients have waited how long: the queue counted by age, so that one look tells where it is stuck. Pure. */
/** Upper ends of the columns, in minutes; one more column has what is older. */
export const summaryMinutes = [5, 10, 20, 40, 80, 160, 320, 640, 1280] as const;

export const summaryKeys = ["domain", "sender", "destination"] as const;
export type SummaryKey = (typeof summaryKeys)[number];

/** What is counted of a message. */
export interface CountedItem {
  readonly from: string;
  /** RFC 3339. */
  readonly receivedAt: string;
  readonly recipients: readonly {
    readonly address: string;
    readonly state: string;
    readonly destination: string | null;
  }[];
}

export interface SummaryRow {
  readonly name: string;
  readonly total: number;
  /** One for each of `summaryMinutes`, and one for what is older. */
  readonly counts: readonly number[];
}

export interface QueueSummary {
  readonly by: SummaryKey;
  readonly minutes: readonly number[];
  /** Recipients that wait; the largest first. */
  readonly rows: readonly SummaryRow[];
  /** Messages that were counted, the oldest; fewer than `messages` where the queue is very long. */
  readonly counted: number;
  readonly messages: number;
}

/** Recipients that wait, by their domain, their destination, or the sender's domain. */
export function summarize(
  items: readonly CountedItem[],
  { by, nowMs, messages }: { readonly by: SummaryKey; readonly nowMs: number; readonly messages: number },
): QueueSummary {
  const rows = new Map<string, number[]>();
  for (const item of items) {
    const ageMinutes = (nowMs - Date.parse(item.receivedAt)) / 60_000;
    const found = summaryMinutes.findIndex((minutes) => ageMinutes <= minutes);
    const column = found === -1 ? summaryMinutes.length : found;
    for (const { state, address, destination } of item.recipients) {
      if (state !== "queued") continue;
      const name =
        by === "domain" ? domainOf(address) : by === "sender" ? domainOf(item.from) : (destination ?? "unknown");
      let counts = rows.get(name);
      if (!counts) rows.set(name, (counts = new Array<number>(summaryMinutes.length + 1).fill(0)));
      counts[column]!++;
    }
  }
  return {
    by,
    minutes: summaryMinutes,
    rows: [...rows]
      .map(([name, counts]) => ({ name, total: counts.reduce((sum, count) => sum + count, 0), counts }))
      .sort((one, other) => other.total - one.total || (one.name < other.name ? -1 : 1)),
    counted: items.length,
    messages,
  };
}

/** `<>` has none and stands for itself. */
function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1);
}
