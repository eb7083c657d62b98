/** Messages and bindings for tests of events. */
import { type Binding, priorityDefault } from "../../src/events/binding.ts";
import type { EventName } from "../../src/events/event.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import type { Message } from "../../src/mail/message.ts";
import { createSampleMessage, type SampleMessage } from "./sample-message.ts";

/** A message from Ann to Bob; line ends may be written as "\n". */
export function createMessage(text: string, envelope: Pick<SampleMessage, "from" | "to"> = {}): Message {
  return createSampleMessage({
    id: "01TESTMESSAGE000",
    from: "ann@example.org",
    to: ["bob@example.test"],
    ...envelope,
    data: text.replace(/\r?\n/g, "\r\n"),
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
