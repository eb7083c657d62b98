/** What a program's answer to a delivery by HTTP means, for each recipient. RFC 9110 §15. Pure. */
import { formatMailbox, sameMailbox, tryParseMailbox } from "../mail/mailbox.ts";
import type { Outcome } from "../queue/attempt.ts";
import type { StoredRecipient } from "../spool/spool.ts";

export interface HttpAnswer {
  readonly code: number;
  /** Names in lower case. */
  readonly fields: Readonly<Record<string, string | string[] | undefined>>;
  /** As much of it as was read. */
  readonly body: Buffer;
  /** The connection ended, or the time was over, before all of it was here. */
  readonly brokenOff: boolean;
}

/** Octets of an answer that are read. */
export const answerOctetsMax = 64 * 1024;
const firstLineLengthMax = 200;
const retryAfterMsMax = 24 * 60 * 60_000;

/**
 * Codes by which a program says that it will never take this message, and their status. (lenient: 401, 403, 404 and 405 look permanent, and are most often a
 * wrong secret, a wrong address or a program that is being replaced; the operator may mend that, so the mail waits.)
 */
const permanent: Readonly<Record<number, string>> = {
  400: "5.5.0",
  406: "5.6.1",
  410: "5.1.1",
  413: "5.3.4",
  415: "5.6.1",
  422: "5.6.0",
  451: "5.7.1",
};

/** An outcome for each recipient. @param now milliseconds since the Unix epoch */
export function outcomesOf(
  answer: HttpAnswer,
  facts: { readonly recipients: readonly StoredRecipient[]; readonly nextHop: string; readonly now: number },
): Outcome[] {
  const { recipients, nextHop, now } = facts;
  const { code } = answer;
  const all = (rest: Omit<Outcome, "index" | "nextHop" | "reply">) =>
    recipients.map(({ index }): Outcome => ({ index, nextHop, reply: null, ...rest }));
  const line = firstLineOf(answer.body);
  const reason = `HTTP ${code}${line && `: ${line}`}`;
  if (code >= 200 && code < 300) {
    // It was about to speak of single recipients: nobody may be taken for delivered who is not. It is asked again.
    if (answer.brokenOff && isJson(answer))
      return all({ kind: "deferred", reason: `HTTP ${code}: its answer broke off`, status: "4.4.2" });
    const said = readRecipients(answer);
    return all({ kind: "delivered", reason, status: "2.0.0" }).map((outcome, place) => {
      const { mailbox } = recipients[place]!;
      const own = said.find(({ to }) => sameMailbox(to, mailbox));
      if (!own || own.result === "delivered") return outcome;
      const status = own.result === "failed" ? "5.0.0" : "4.0.0";
      return {
        ...outcome,
        kind: own.result,
        status,
        reason: `HTTP ${code}, for ${formatMailbox(mailbox)}: ${own.reason || own.result}`,
      };
    });
  }
  if (code >= 300 && code < 400)
    return all({ kind: "deferred", reason: `HTTP ${code}: it leads elsewhere, and is not followed`, status: "4.4.4" });
  const status = permanent[code];
  if (status !== undefined) return all({ kind: "failed", reason, status });
  const retryAfterMs = readRetryAfter(answer.fields["retry-after"], now);
  return all({ kind: "deferred", reason, status: "4.3.0", ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}

/** Seconds, or a date. RFC 9110 §10.2.3. A day at most. */
function readRetryAfter(value: string | string[] | undefined, now: number): number | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), retryAfterMsMax);
}

/** For the log: without control characters, cut. */
function firstLineOf(body: Buffer): string {
  const text = body
    .subarray(0, 4 * firstLineLengthMax)
    .toString("utf8")
    .trimStart();
  const line = text
    .split(/[\r\n]/, 1)[0]!
    .replace(/\p{Cc}+/gu, " ")
    .trim();
  return line.length > firstLineLengthMax ? `${line.slice(0, firstLineLengthMax)}…` : line;
}

function isJson({ fields }: HttpAnswer): boolean {
  return /^application\/json\b/i.test(String(fields["content-type"] ?? ""));
}

interface Said {
  readonly to: { readonly localPart: string; readonly domain: string };
  readonly result: "delivered" | "deferred" | "failed";
  readonly reason: string;
}

/** What it says of single recipients. Whoever says 2yz has the mail: what cannot be understood beside that takes nothing back. */
function readRecipients(answer: HttpAnswer): Said[] {
  if (!isJson(answer)) return [];
  const { body } = answer;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch {
    return [];
  }
  const list = (parsed as { readonly recipients?: unknown } | null)?.recipients;
  if (!Array.isArray(list)) return [];
  return list.flatMap((item: unknown): Said[] => {
    const { to, result, reason } = (item ?? {}) as Readonly<Record<string, unknown>>;
    const mailbox = typeof to === "string" ? tryParseMailbox(to) : undefined;
    if (!mailbox || (result !== "delivered" && result !== "deferred" && result !== "failed")) return [];
    return [{ to: mailbox, result, reason: typeof reason === "string" ? firstLineOf(Buffer.from(reason)) : "" }];
  });
}
