/** Sessions, transactions and contexts for tests of sinks: as much of them as a sink looks at. */
import type { SinkContext } from "../../../src/events/sink.ts";
import type {
  MailFromSubject,
  RcptToSubject,
  ReplySubject,
  Session,
  Transaction,
} from "../../../src/events/subject.ts";
import type { Verdict } from "../../../src/events/verdict.ts";
import type { MailOptions } from "../../../src/mail/envelope.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { parseReversePath } from "../../../src/mail/path.ts";
import type { Clock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { findKitSink } from "../../../src/sinks/kit.ts";
import type { SinkPorts } from "../../../src/sinks/sink-ports.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";

export const context: SinkContext = { log: silentLog, bindingId: "b", properties: {}, rehearsal: false };
export const rehearsal: SinkContext = { ...context, rehearsal: true };

/** Ports of a server without a data folder, but for what is given. */
export function createPorts(given: Partial<SinkPorts> = {}): SinkPorts {
  const clock: Clock = given.clock ?? createFakeClock();
  return {
    clock,
    log: silentLog,
    resolver: createFakeResolver({}, clock),
    folder: null,
    configFolder: import.meta.dirname,
    ...given,
  };
}

/** The sink of that name, its properties as onarrival.toml would write them. */
export async function makeSink(
  name: string,
  properties: Readonly<Record<string, unknown>>,
  ports: Partial<SinkPorts> = {},
) {
  return await findKitSink(name)!.make(properties, createPorts(ports));
}

export function createSession(facts: Partial<Session> = {}): Session {
  return {
    id: "0123456789ABCDEF",
    listener: "mx",
    role: "mx",
    ip: "192.0.2.7",
    helo: "client.example",
    user: null,
    notes: new Map(),
    ...facts,
    // What no sink of ours looks at is left out.
  } as Session;
}

export function createTransaction(from: string, options: MailOptions = {}): Transaction {
  return {
    id: "01TESTMESSAGE000",
    reversePath: parseReversePath(from),
    recipients: [],
    parameters: new Map(),
    options,
  };
}

export function mailFrom(from: string, session = createSession(), options: MailOptions = {}): MailFromSubject {
  return { session, reversePath: parseReversePath(from), parameters: new Map(), options, rewrite() {} };
}

export function rcptTo(
  { from = "ann@example.org", to = "bob@example.test" }: { readonly from?: string; readonly to?: string } = {},
  session = createSession(),
  options: MailOptions = {},
): RcptToSubject {
  return {
    session,
    transaction: createTransaction(from, options),
    forwardPath: parseMailbox(to),
    parameters: new Map(),
    options: {},
    accepted: null,
    rewrite() {},
    accept() {},
  };
}

export function replyOf(code: number, session: Session): ReplySubject {
  const reply = { code, status: undefined, text: "words" };
  return { session, verb: "RCPT", reply, replaceText() {}, append() {}, setCode() {} };
}

/** The kind of what a handler answered, `proceed` for nothing. */
export async function kindOf(answer: unknown): Promise<Verdict["kind"]> {
  return ((await answer) as Verdict | undefined)?.kind ?? "proceed";
}
