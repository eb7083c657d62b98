/** The session of a test, from flags: who connects, as whom, for whom. What is not given is harmless and always the same. */
import { isIP } from "node:net";
import type { Config } from "../config/schema.ts";
import { eventNames, eventTable, isEventName } from "../events/event-table.ts";
import { parseForwardPath, parseReversePath } from "../mail/path.ts";
import type { TestSession } from "../main-test-message.ts";
import { describeThrown } from "../platform/fault.ts";
import { nearestWord } from "../platform/value.ts";
import { goesWithoutMessage as isWithoutMessage } from "../scripting/test-folder.ts";
import { UsageError } from "./failure.ts";

export interface SessionFlags {
  readonly from?: string;
  readonly to?: readonly string[];
  readonly ip?: string;
  readonly helo?: string;
  readonly user?: string;
  readonly listener?: string;
  readonly event?: string;
}

/** An address of nobody. RFC 5737. */
const ipDefault = "192.0.2.1";
const heloDefault = "client.example.com";

/** @throws {UsageError} */
export function readSession(
  { from, to = [], ip = ipDefault, helo = heloDefault, user, listener, event: named }: SessionFlags,
  { listeners }: Config,
): TestSession {
  const event = named ?? "onArrival";
  if (isIP(ip) === 0) throw new UsageError(`--ip: expected an IPv4 or IPv6 address, not ${JSON.stringify(ip)}`);
  if (/[\s\x00-\x1f\x7f]/.test(helo) || helo.length > 255)
    throw new UsageError(`--helo: expected one word, not ${JSON.stringify(helo)}`);
  if (!isEventName(event)) {
    const nearest = nearestWord(event, eventNames);
    throw new UsageError(`There is no event ${JSON.stringify(event)}`, nearest && `Did you mean ${nearest}?`);
  }
  if (!eventTable[event].scripts) {
    throw new UsageError(
      `Scripts cannot handle ${event}: expected ${eventNames.filter((name) => eventTable[name].scripts).join(" or ")}`,
    );
  }
  const names = listeners.map((one) => one.name);
  if (listener !== undefined && !names.includes(listener)) {
    throw new UsageError(`There is no listener ${JSON.stringify(listener)}: expected ${names.join(" or ")}`);
  }
  return {
    event: named === undefined ? null : event,
    ip,
    helo,
    user: user ?? null,
    listener: listener ?? names[0]!,
    from: from === undefined ? undefined : read("--from", from, parseReversePath),
    to: to.map((text) => read("--to", text, parseForwardPath)),
  };
}

/** Whether a test of this event goes without a message: it comes before there is one. */
export function goesWithoutMessage(event: string | undefined): boolean {
  return event !== undefined && isEventName(event) && isWithoutMessage(event);
}

function read<T>(flag: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    throw new UsageError(`${flag}: ${describeThrown(error)}`);
  }
}
