/** Events in tests: messages, bindings and a clock that moves by hand. */
import { type Binding, priorityDefault } from "../../src/events/binding.ts";
import type { EventName } from "../../src/events/event.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import { splitMessage } from "../../src/mail/header.ts";
import { parseMailbox } from "../../src/mail/mailbox.ts";
import { inlineBody, Message } from "../../src/mail/message.ts";
import type { Clock } from "../../src/platform/clock.ts";

export function createMessage(text: string, envelope: { from?: string | null; to?: readonly string[] } = {}): Message {
  const { header, separator, body } = splitMessage(Buffer.from(text.replace(/\r?\n/g, "\r\n")));
  const { from = "ann@example.org", to = ["bob@example.test"] } = envelope;
  return new Message({
    id: "01TESTMESSAGE000",
    receivedAt: 1_795_000_000_000,
    origin: {
      sessionId: "01TESTSESSION000",
      listener: "mx",
      ip: "192.0.2.1",
      host: null,
      helo: "client.example",
      user: null,
      tls: null,
    },
    envelope: {
      reversePath: from === null ? null : parseMailbox(from),
      recipients: to.map((mailbox) => ({ mailbox: parseMailbox(mailbox) })),
    },
    header,
    separator,
    body: inlineBody(body),
    notes: {},
  });
}

let created = 0;

export function createBinding(
  event: EventName,
  handler: (...words: never[]) => unknown,
  options: Partial<Binding> = {},
): Binding {
  created++;
  return {
    id: options.id ?? `sinks/${created}#${event}`,
    name: `sink-${created}`,
    event,
    enabled: true,
    priority: priorityDefault,
    rule: null,
    onFault: "defer",
    maxFirings: 0,
    properties: {},
    source: "config",
    createdOrder: created,
    // A test's handler takes the subject its event has.
    target: { kind: "native", handler: handler as unknown as AnyHandler },
    ...options,
  };
}

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function createManualClock(startMs = 1_795_000_000_000): ManualClock {
  let now = startMs;
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  return {
    now: () => now,
    monotonicMs: () => now - startMs,
    after(delayMs, callback) {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...timers].filter((timer) => timer.at <= end).sort((one, other) => one.at - other.at)[0];
        if (!due) break;
        timers.delete(due);
        now = Math.max(now, due.at);
        due.callback();
      }
      now = end;
    },
  };
}
