/**
 * Runs inside the isolate: scripts in the shape of Cloudflare's Email Workers. The worker is called once for each matched recipient, as its `message.to` is one
 * address; what all calls asked for is one run's edits, applied or left together. docs/email-workers.md tells what is the same and what is not.
 */
import type { ArrivedMail } from "../api.ts";
import { checkAddress, sameAddress } from "./addresses.ts";
import { log } from "./globals.ts";
import { append, Bytes, createList, freeze, TypeErrorOf, toText } from "./primordials.ts";
import { giveRefusals, type Refusal } from "./refusals.ts";
import { alive, countAction, look, type RunState } from "./run-state.ts";
import { describeThrown } from "./thrown.ts";
import { addField, fieldsOf, Headers, lockHeaders } from "./web-headers.ts";
import { answer } from "./web-mail.ts";
import { applyTo, nameClass } from "./web-primordials.ts";
import { type ReadableStream, streamOfOctets } from "./web-streams.ts";
import { createEnv } from "./web-worker-env.ts";
import { setWorkerRunner, type WorkerCall } from "./worker.ts";

/** What one call of the worker asked for. */
interface Fate {
  readonly recipient: string;
  /** Addresses in its place; null: it was not forwarded. */
  forwards: string[] | null;
  rejection: string | null;
  isAnswered: boolean;
  passesThrough: boolean;
  /** Promises of `waitUntil`. */
  readonly pending: unknown[];
}

/** What a worker is given as its message. */
class ForwardableEmailMessage {
  readonly #state: RunState;
  readonly #mail: ArrivedMail;
  readonly #fate: Fate;
  readonly #headers: Headers;
  #raw: ReadableStream | null = null;

  constructor(state: RunState, mail: ArrivedMail, fate: Fate) {
    this.#state = state;
    this.#mail = mail;
    this.#fate = fate;
    this.#headers = new Headers();
    const { fields } = state.mail;
    for (let i = 0; i < fields.length; i++)
      if (fields[i]![0] !== "") addField(this.#headers, fields[i]![0], fields[i]![1]);
    lockHeaders(this.#headers);
  }

  /** "" for the null reverse-path. */
  get from(): string {
    return alive(this.#state).mail.envelope.from ?? "";
  }

  get to(): string {
    return this.#fate.recipient;
  }

  /** As they stand in the message: unfolded, and not decoded. */
  get headers(): Headers {
    return this.#headers;
  }

  get raw(): ReadableStream {
    // Looked for at once: where the octets are not here yet, the run is begun anew before the worker has done anything else.
    if (this.#raw === null) {
      const octets = new Bytes(look(this.#state, "raw") as ArrayBuffer);
      this.#raw = streamOfOctets(() => octets);
    }
    return this.#raw;
  }

  get rawSize(): number {
    return alive(this.#state).mail.size;
  }

  get canBeForwarded(): boolean {
    return true;
  }

  setReject(reason: unknown): void {
    countAction(alive(this.#state));
    this.#fate.rejection = toText(reason);
  }

  async forward(recipient: unknown, headers?: unknown): Promise<void> {
    const address = checkAddress(alive(this.#state), recipient, "forward: the address");
    const fields = fieldsOf(new Headers(headers));
    for (let i = 0; i < fields.length; i++) addOnce(this.#mail, fields[i]!.name, fields[i]!.value);
    this.#fate.forwards ??= [];
    append(this.#fate.forwards, address);
  }

  /** Rejects where nobody should be answered, as a script that goes on would believe it had. */
  async reply(message: unknown): Promise<void> {
    if (this.#fate.isAnswered)
      throw new TypeErrorOf("reply: this message was answered already, and once is all there is");
    this.#fate.isAnswered = true;
    await answer(alive(this.#state), message, this.#fate.recipient);
  }
}

nameClass(ForwardableEmailMessage, "ForwardableEmailMessage");
freeze(ForwardableEmailMessage.prototype);

async function run({ worker, env, state, mail, context }: WorkerCall): Promise<void> {
  const bindings = await createEnv(state, env, context);
  const matched = mail.matchedRecipients;
  const fates: Fate[] = createList();
  for (let i = 0; i < matched.length; i++) fates[i] = await callWorker(worker, bindings, state, mail, matched[i]!);
  settle(state, mail, fates);
}

async function callWorker(
  worker: unknown,
  env: object,
  state: RunState,
  mail: ArrivedMail,
  recipient: string,
): Promise<Fate> {
  const pending: unknown[] = createList();
  const fate: Fate = { recipient, forwards: null, rejection: null, isAnswered: false, passesThrough: false, pending };
  const execution = freeze({
    waitUntil(promise: unknown) {
      pending[pending.length] = promise;
    },
    passThroughOnException() {
      fate.passesThrough = true;
    },
    props: freeze({}),
  });
  try {
    const { email } = worker as { readonly email: (...args: never[]) => unknown };
    await applyTo(email, worker, [new ForwardableEmailMessage(state, mail, fate), env, execution]);
  } catch (thrown) {
    // What leaves a run for octets, and what is a fault in any case, goes its way.
    if (!fate.passesThrough || state.missed !== "" || state.fault) throw thrown;
    log.warn(`The worker failed for ${recipient}, and asked that the message pass: ${describeThrown(thrown).message}`);
    fate.forwards = [recipient];
    fate.rejection = null;
  }
  // More may come while it is waited for.
  for (let i = 0; i < pending.length; i++) {
    try {
      await pending[i];
    } catch (thrown) {
      if (state.missed !== "" || state.fault) throw thrown;
      log.warn(`A promise given to waitUntil was rejected: ${describeThrown(thrown).message}`);
    }
  }
  return fate;
}

/** What became of all recipients, as edits of the envelope, refusals, or one verdict. */
function settle(state: RunState, mail: ArrivedMail, fates: readonly Fate[]): void {
  const rejected: Refusal[] = createList();
  for (let i = 0; i < fates.length; i++)
    if (fates[i]!.rejection !== null)
      rejected[rejected.length] = { recipient: fates[i]!.recipient, reason: fates[i]!.rejection! };
  if (giveRefusals(state, rejected)) return;
  const { envelope } = mail;
  for (let i = 0; i < fates.length; i++) {
    const { recipient, forwards, rejection } = fates[i]!;
    if (rejection !== null || forwards === null) envelope.remove(recipient);
    else if (forwards.length !== 1 || !sameAddress(forwards[0]!, recipient)) {
      const by: string[] = [recipient];
      for (let k = 0; k < forwards.length; k++) append(by, forwards[k]!);
      applyTo(envelope.replace as never, envelope, by);
    }
  }
}

/** One more field, unless the message has it so: calls for several recipients add the same. */
function addOnce(mail: ArrivedMail, name: string, value: string): void {
  const values = mail.headers.getAll(name);
  for (let i = 0; i < values.length; i++) if (values[i] === value) return;
  mail.headers.add(name, value);
}

setWorkerRunner(run);
