/** Clients and peers for tests of the SMTP client; what is started here is ended after each test. */
import { afterEach } from "vitest";
import type { Binding } from "../../../src/events/binding.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { Handlers } from "../../../src/events/sink.ts";
import type { Message } from "../../../src/mail/message.ts";
import type { Smarthost } from "../../../src/outbound/next-hop.ts";
import { SmtpClient, type SmtpClientOptions } from "../../../src/outbound/smtp.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import type { StoredRecipient } from "../../../src/spool/spool.ts";
import { createBinding } from "../../support/events.ts";
import { type ScriptedPeer, startScriptedPeer } from "../../support/smtp-peer.ts";

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

export async function scripted(...args: Parameters<typeof startScriptedPeer>): Promise<ScriptedPeer> {
  const peer = await startScriptedPeer(...args);
  closers.push(() => peer.close());
  return peer;
}

export function clientFor(
  port: number,
  smarthost: Partial<Smarthost> = {},
  options: Partial<SmtpClientOptions> = {},
): SmtpClient {
  const client = new SmtpClient({
    smarthost: { host: "127.0.0.1", port, tls: "off", ...smarthost },
    hostName: "mail.example.test",
    clock: systemClock,
    ...options,
  });
  closers.push(() => client.close());
  return client;
}

export function recipientsOf(message: Message): StoredRecipient[] {
  return message.envelope.recipients.map((recipient, index) => ({
    ...recipient,
    index,
    state: "queued",
    attempts: 0,
    nextAttemptAt: 0,
    lastOutcome: "",
  }));
}

/** A dispatcher with these handlers bound. */
export function eventsWith(handlers: Handlers, options: Partial<Binding> = {}): Dispatcher {
  const dispatcher = new Dispatcher({
    log: silentLog,
    clock: systemClock,
    scripts: { run: () => Promise.reject(new Error("no scripts here")) },
  });
  dispatcher.replaceBindings(
    Object.entries(handlers).map(([event, handler]) =>
      createBinding(event as keyof Handlers, handler as () => unknown, options),
    ),
  );
  return dispatcher;
}

/** A promise that is settled from outside. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
