/** The opening of a session: connection, greeting, EHLO, TLS as the policy has it, login. RFC 5321 §3.1 and §3.2, RFC 3207, RFC 4954. */
import { isIP } from "node:net";
import type { SessionChoice, TlsPolicy } from "../events/subject-outbound.ts";
import type { Tracer } from "../events/trace.ts";
import { createId } from "../mail/ids.ts";
import type { Clock } from "../platform/clock.ts";
import { describeThrown } from "../platform/fault.ts";
import { type ClientCommand, clientCommand } from "../smtp/client-command.ts";
import { chooseMechanism, createSaslClient } from "../smtp/client-scram.ts";
import { formatSmarthost, type Smarthost } from "./next-hop.ts";
import { type CertificateCheck, type TlsHeard, tlsResultOf } from "./smtp-certificate.ts";
import { Conversation, type Judged, type OutboundEvents, rulingOf } from "./smtp-conversation.ts";
import { PeerFailure } from "./smtp-failure.ts";
import type { ConnectionLimits } from "./smtp-limits.ts";
import { SessionFacts, SessionStart } from "./smtp-subjects.ts";
import { SmtpWire } from "./smtp-wire.ts";

export interface ConnectionSettings {
  readonly smarthost: Smarthost;
  /** The host's, where it was looked up already: connections go there, and TLS goes by the host's name. */
  readonly address?: string;
  readonly tlsPolicy: TlsPolicy;
  /** In TLS, the name to ask for and to find in the certificate, where it is not the host's own. RFC 7672 §8.1. */
  readonly serverName?: string | undefined;
  /** Our name, for EHLO. */
  readonly hostName: string;
  readonly clock: Clock;
  /** Certificates to trust in place of the system's; PEM. */
  readonly certificateAuthorities?: string;
  /** Whether a chain proves who the host is, in the place of its name and of authorities; asked where the policy is `verified`. */
  readonly proves?: CertificateCheck["proves"];
  readonly limits: ConnectionLimits;
  readonly events: OutboundEvents;
  readonly tracer?: Tracer;
  /** Hears how TLS went, once for each connection on which it was wanted. */
  readonly onTls?: ((heard: TlsHeard) => void) | undefined;
}

/** What sinks made of the session before it began. */
interface Plan {
  readonly choice: SessionChoice;
  readonly inserted: readonly ClientCommand[];
}

/** Asks onSessionStart, connects, and goes on until mail can be sent. @throws {PeerFailure} */
export async function openConversation(settings: ConnectionSettings): Promise<Conversation> {
  const { smarthost, clock } = settings;
  const { host, port } = smarthost;
  const nextHop = formatSmarthost(smarthost);
  const facts = new SessionFacts({ id: createId(clock.now()), nextHop, host, port });
  traceOpened(facts, settings);
  const plan = await planSession(facts, settings);
  try {
    return await open(facts, plan, plan.choice.tls, settings);
  } catch (error) {
    // A handshake that fails says nothing against the mail: opportunistic means that a clear connection is better than none. RFC 7435 §3.
    const { tls, credentials } = plan.choice;
    const mayBeClear = tls === "opportunistic" && smarthost.implicitTls !== true && credentials === null;
    if (!(error instanceof PeerFailure && error.kind === "tls" && mayBeClear)) throw named(error, nextHop);
  }
  traceOpened(facts, settings);
  try {
    return await open(facts, plan, "off", settings);
  } catch (error) {
    throw named(error, nextHop);
  }
}

/** Before anything is decided: who follows sees that too. */
function traceOpened(
  { id: session, nextHop: place, host, port }: SessionFacts,
  { tracer, clock, address = host }: ConnectionSettings,
): void {
  const ip = isIP(address) === 0 ? "" : address;
  if (tracer?.active) tracer.publish({ kind: "opened", session, direction: "out", place, ip, port, at: clock.now() });
}

async function planSession(
  facts: SessionFacts,
  { smarthost, hostName, tlsPolicy, events, tracer, clock }: ConnectionSettings,
): Promise<Plan> {
  const { user, password } = smarthost;
  const choice: SessionChoice = {
    name: hostName,
    tls: tlsPolicy,
    sourceAddress: null,
    credentials: user === undefined || password === undefined ? null : { user, password },
  };
  if (events.bindingsOf("onSessionStart").length === 0) return { choice, inserted: [] };
  const subject = new SessionStart(facts, choice);
  const ruling = rulingOf(await events.ask("onSessionStart", subject));
  subject.finish();
  if (ruling) {
    const reason = `a sink did not want the session: ${ruling.reason}`;
    if (tracer?.active) tracer.publish({ kind: "closed", session: facts.id, reason, at: clock.now() });
    throw new PeerFailure(reason, { kind: "own" });
  }
  return subject;
}

async function open(
  facts: SessionFacts,
  { choice, inserted }: Plan,
  policy: TlsPolicy,
  settings: ConnectionSettings,
): Promise<Conversation> {
  const { smarthost, clock, limits, tracer, events } = settings;
  const { host, port, socket } = smarthost;
  const { id: session } = facts;
  let wire: SmtpWire;
  try {
    wire = await SmtpWire.connect(
      { host, port, socket, address: settings.address, sourceAddress: choice.sourceAddress },
      { clock, limits, tracer, sessionId: session },
    );
  } catch (error) {
    if (tracer?.active) tracer.publish({ kind: "closed", session, reason: describeThrown(error), at: clock.now() });
    throw error;
  }
  facts.ip = wire.ip;
  facts.tls = null;
  if (tracer?.active)
    tracer.publish({ kind: "note", session, text: `connected to ${socket ?? wire.ip}`, at: clock.now() });
  const talk = new Conversation(wire, facts, limits, events);
  try {
    // With TLS from the first octet on, "off" has nothing to turn off; what is checked stays checked.
    if (smarthost.implicitTls) await secure(talk, policy === "verified" || policy === "off", settings);
    agreed(await talk.hear(limits.replyMsMax, "the connection", "session"), "it refused the session");
    const objection = await talk.insert(inserted);
    if (objection) agreed(objection, "a sink gave up the session");
    await hello(talk, choice.name, policy, settings);
    if (!facts.tls && policy !== "off") await startTls(talk, choice.name, policy, settings);
    if (choice.credentials) await logIn(talk, choice.credentials, smarthost);
    return talk;
  } catch (error) {
    // Where it said no, it is told goodbye (RFC 5321 §3.1); where it said nothing, nobody listens.
    if (error instanceof PeerFailure && error.reply) void talk.quit();
    else wire.close(describeThrown(error));
    throw error;
  }
}

/** @throws {PeerFailure} where the peer, or a sink, did not agree */
function agreed({ ok, reply, ruling, next }: Judged, words: string): void {
  if (ok && next !== "quit") return;
  throw new PeerFailure(ruling ? `${words}: ${ruling.reason}` : words, { reply });
}

async function hello(
  talk: Conversation,
  name: string,
  policy: TlsPolicy,
  { smarthost }: ConnectionSettings,
): Promise<void> {
  const lmtp = smarthost.protocol === "lmtp";
  let judged = await talk.command(`${lmtp ? "LHLO" : "EHLO"} ${name}`);
  // RFC 5321 §3.2: an old server knows HELO alone. It has no TLS then, so where TLS is needed there is nothing to fall back to.
  const needsTls = (policy === "required" || policy === "verified") && talk.facts.tls === null;
  if (!judged.ok && judged.reply.code >= 500 && judged.ruling === null && judged.next === null && !lmtp && !needsTls)
    judged = await talk.command(`HELO ${name}`);
  agreed(judged, "it did not take our name");
  talk.facts.extensions = talk.wire.extensions;
}

async function startTls(
  talk: Conversation,
  name: string,
  policy: TlsPolicy,
  settings: ConnectionSettings,
): Promise<void> {
  const optional = policy === "opportunistic";
  if (!talk.wire.extensions.has("STARTTLS")) {
    settings.onTls?.({ encrypted: false, result: "starttls-not-supported" });
    if (optional) return;
    throw new PeerFailure("it offers no TLS", { kind: "tls", status: "4.7.4" });
  }
  let judged: Judged;
  try {
    judged = await talk.command("STARTTLS");
  } catch (error) {
    if (error instanceof PeerFailure && error.kind === "violation")
      throw new PeerFailure(error.message, { kind: "tls", cause: error });
    throw error;
  }
  if (!judged.ok) settings.onTls?.({ encrypted: false, result: "starttls-not-supported" });
  if (!judged.ok && optional && judged.ruling === null && judged.next === null) return;
  agreed(judged, "it did not begin TLS");
  await secure(talk, policy === "verified", settings);
  await hello(talk, name, policy, settings);
}

async function secure(
  { wire, facts }: Conversation,
  check: boolean,
  { smarthost, serverName = smarthost.host, certificateAuthorities, proves, onTls }: ConnectionSettings,
): Promise<void> {
  try {
    const authorities = certificateAuthorities === undefined ? {} : { authorities: certificateAuthorities };
    const { facts: tls, result } = await wire.secure(serverName, { check, proves, ...authorities });
    facts.tls = tls;
    onTls?.({ encrypted: true, result });
  } catch (error) {
    onTls?.({ encrypted: false, result: tlsResultOf(error) });
    throw error;
  }
  facts.extensions = wire.extensions;
}

/** RFC 4954 §4. */
async function logIn(
  talk: Conversation,
  credentials: NonNullable<SessionChoice["credentials"]>,
  smarthost: Smarthost,
): Promise<void> {
  if (talk.facts.tls === null && smarthost.tls !== "off")
    throw new PeerFailure("it offers no TLS, and the password is not sent in the clear");
  const mechanism = chooseMechanism(talk.wire.extensions);
  if (mechanism === null) throw new PeerFailure("it offers no way to log in that we know");
  const sasl = createSaslClient(mechanism, credentials);
  const initial = sasl.initial === null ? "" : ` ${toBase64(sasl.initial) || "="}`;
  let judged = await talk.command(
    clientCommand(`AUTH ${mechanism}${initial}`, `AUTH ${mechanism}${initial === "" ? "" : " ***"}`),
  );
  while (judged.ok && judged.reply.code === 334) {
    let answer: string;
    try {
      answer = sasl.answer(Buffer.from(judged.reply.lines[0]!, "base64").toString("utf8"));
    } catch (error) {
      throw new PeerFailure(`cannot log in: ${describeThrown(error)}`, { cause: error });
    }
    judged = await talk.command({ verb: "AUTH", line: toBase64(answer), shown: "***", inserted: false });
  }
  agreed(judged, "it did not let us log in");
  if (judged.reply.code === 235 && !sasl.complete)
    throw new PeerFailure("it let us log in without a proof that it knows the password");
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** A failure under the next hop's name. What is our own doing has no such name. */
function named(error: unknown, nextHop: string): PeerFailure {
  const failure = error instanceof PeerFailure ? error : undefined;
  if (failure?.kind === "own") return failure;
  return new PeerFailure(`Cannot talk to ${nextHop}: ${describeThrown(error)}`, {
    reply: failure?.reply,
    kind: failure?.kind ?? "lost",
    status: failure?.status,
    cause: error,
  });
}
