/**
 * Whether a message is what it says it is: SPF, DKIM, DMARC and ARC, before the first sink sees it. Nothing follows from it here: what a failure means
 * is for rules, sinks and scripts to say. Whatever goes wrong with it (no answer from DNS, a hostile message, too much to do) ends in `temperror`,
 * and the mail goes on.
 */
import { compileNetworks } from "../events/network.ts";
import type { AuthFacts, IprevFacts } from "../mail/auth-facts.ts";
import { withAuthenticationResults, withoutResultsOf } from "../mail/authentication-results.ts";
import type { Header } from "../mail/header.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Body } from "../mail/message.ts";
import type { ReversePath } from "../mail/path.ts";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import { type Parcel, type Ran, ThreadPool } from "../platform/thread-pool.ts";
import { answerQuestion, lookUpHost, type VerifyResolver } from "./verify-dns.ts";
import { type DnsQuestion, type DnsReply, type VerifyResult, type VerifyWork, visibleHeader } from "./verify-work.ts";

/** What is looked at, as it came in: before our own trace fields. */
export interface MailToVerify {
  readonly ip: string;
  readonly helo: string;
  readonly reversePath: ReversePath;
  readonly header: Header;
  readonly body: Body;
}

export interface Verifier {
  /** Within `timeoutMs`. Never rejects. */
  verify(mail: MailToVerify): Promise<AuthFacts>;
  /** What is under way ends with `temperror`. */
  close(): Promise<void>;
}

export interface VerifierOptions {
  readonly resolver: VerifyResolver;
  /** Our own name, for what SPF says in words. */
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly threads?: number;
  /** Time for one message. */
  readonly timeoutMs?: number;
  /** Messages that may wait for a thread. */
  readonly waitingMax?: number;
  /** The thread's module; another one is for tests. */
  readonly script?: URL;
}

/** Messages a thread has in hand at a time: it waits for DNS most of the time. */
const messagesAtATimeMax = 32;
/** Failures are logged at most this often: they come in floods. */
const logEveryMs = 60_000;

/** Starts its thread with the first message. A body is in memory or in a file; the thread reads that itself, piece by piece. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { resolver, hostname, clock, log, timeoutMs = 10_000 } = options;
  const pool = new ThreadPool<VerifyWork, VerifyResult, DnsQuestion, DnsReply>({
    script: options.script ?? new URL("./verify-worker.ts", import.meta.url),
    clock,
    threads: options.threads ?? 1,
    jobsAtATimeMax: messagesAtATimeMax,
    waitingMax: options.waitingMax ?? 500,
    timeoutMs,
    answer: (question) => answerQuestion(resolver, question),
  });
  let failures = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;

  function noteFailure({ why, reason }: Ran<unknown> & { readonly kind: "failed" }): void {
    failures++;
    const now = clock.monotonicMs();
    if (why === "closed" || now - loggedAt < logEveryMs) return;
    log.warn("verify.failed", { why, reason, messages: failures });
    failures = 0;
    loggedAt = now;
  }

  return {
    async verify(mail) {
      // One DNS answer waits for no other: the client's name is looked up meanwhile.
      const [ran, iprev] = await Promise.all([
        pool.run(() => pack(mail, hostname)),
        within(lookUpHost(resolver, mail.ip), timeoutMs, clock),
      ]);
      if (ran.kind === "done") return { ...ran.result, iprev };
      noteFailure(ran);
      return { ...notVerified(mail), iprev };
    },
    close: () => pool.close(),
  };
}

/**
 * Whether this client's mail is checked. `public`: that of every client without a login whose address is public; `all`: of every client without one.
 * Users write in their own name, and have no SPF to pass from where they are.
 */
export function shouldVerify(
  { ip, user }: { readonly ip: string; readonly user: string | null },
  verify: "off" | "public" | "all",
): boolean {
  return verify !== "off" && user === null && (verify === "all" || !isPrivate(ip));
}

/**
 * The header with the results of `auth` on top; without, that of a client nobody checked. Other results of ours are forged, whether somebody checked the mail or not
 * (RFC 8601 §5), unless a host that is trusted with that has given it back to us.
 */
export function withResults(
  header: Header,
  {
    hostname,
    auth,
    isTrusted,
  }: { readonly hostname: string; readonly auth: AuthFacts | undefined; readonly isTrusted: boolean },
): Header {
  if (auth) return withAuthenticationResults(header, hostname, auth);
  return isTrusted ? header : withoutResultsOf(header, hostname);
}

/** Not reachable from elsewhere: RFC 1918, RFC 6598, RFC 3927, RFC 4193, loopback. */
const isPrivate = compileNetworks([
  ..."10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8".split(" "),
  ..."fc00::/7 fe80::/10 ::1".split(" "),
]);

function pack({ ip, helo, reversePath, header: whole, body }: MailToVerify, hostname: string): Parcel<VerifyWork> {
  const { header, cut } = visibleHeader(whole);
  // Copies of their own: what is transferred is gone here, and a slice would bring all of its buffer.
  const head = Uint8Array.from(Buffer.concat([header.octets, Buffer.from("\r\n")]));
  const octets = body.inline && !cut ? Uint8Array.from(body.inline) : new Uint8Array();
  const work = {
    ip,
    helo,
    hostname,
    reversePath: reversePath && formatMailbox(reversePath),
    header: head,
    body: !cut && body.file !== undefined ? body.file : octets,
    cut,
  };
  return { work, transfer: [head.buffer, octets.buffer] };
}

/** The facts where there are none: nobody knows, and it may be tried again. */
function notVerified({ reversePath, helo, header }: MailToVerify): VerifyResult {
  const unsigned = { domain: "", selector: "", algorithm: "", signature: "", aligned: false, reason: "not checked" };
  return {
    spf: { result: "temperror", domain: reversePath?.domain ?? helo, identity: reversePath ? "mailfrom" : "helo" },
    dkim: header.has("DKIM-Signature") ? [{ result: "temperror", ...unsigned }] : [],
    dmarc: { result: "temperror", domain: "", policy: null, alignedBy: [], reason: "not checked" },
    arc: { result: header.has("ARC-Seal") ? "temperror" : "none", sealers: [] },
  };
}

function within(facts: Promise<IprevFacts>, timeoutMs: number, clock: Clock): Promise<IprevFacts> {
  return new Promise((resolve) => {
    const tooLate = () => resolve({ result: "temperror", host: null });
    const cancel = clock.after(timeoutMs, tooLate);
    facts.then(resolve, tooLate).finally(cancel);
  });
}
