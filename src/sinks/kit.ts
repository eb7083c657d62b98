/** The sinks that come with the server, by the name `use` gives: what each does, which events it is made for, which properties it takes. */
import type { EventName } from "../events/event.ts";
import type { Sink } from "../events/sink.ts";
import { Fault } from "../platform/fault.ts";
import { nearestWord } from "../platform/value.ts";
import { accessList, accessListProperties } from "./access-list.ts";
import { archiveCopy, archiveCopyProperties } from "./archive-copy.ts";
import { dnsbl, dnsblProperties } from "./dnsbl.ts";
import { greylist, greylistProperties } from "./greylist.ts";
import { headerLimit, headerLimitProperties } from "./header-limit.ts";
import { loopGuard, loopGuardProperties } from "./loop-guard.ts";
import { type PropertyTable, readProperties, type ValuesOf } from "./property.ts";
import { rateLimit, rateLimitProperties } from "./rate-limit.ts";
import { relayControl, relayControlProperties } from "./relay-control.ts";
import type { SinkPorts } from "./sink-ports.ts";
import { sizeLimit, sizeLimitProperties } from "./size-limit.ts";
import { tarpit, tarpitProperties } from "./tarpit.ts";

export interface KitSink {
  /** What it does, for the reference page. */
  readonly sentence: string;
  /** Where a binding names no event: those of these that the sink, with its properties, has a handler for. */
  readonly events: readonly EventName[];
  readonly properties: PropertyTable;
  /** @throws {Fault} `sink.properties` */
  make(written: Readonly<Record<string, unknown>>, ports: SinkPorts): Sink | Promise<Sink>;
}

function kitSink<Table extends PropertyTable>(sink: {
  readonly name: string;
  readonly sentence: string;
  readonly events: readonly EventName[];
  readonly properties: Table;
  readonly create: (values: ValuesOf<Table>, ports: SinkPorts) => Sink | Promise<Sink>;
}): KitSink {
  const { name, create, ...facts } = sink;
  return { ...facts, make: (written, ports) => create(readProperties(name, sink.properties, written), ports) };
}

/** In alphabetical order. */
export const kit: Readonly<Record<string, KitSink>> = {
  "access-list": kitSink({
    name: "access-list",
    sentence: "Turns away clients, HELO names, senders and recipients that stand on a list, but for those on another.",
    events: ["onRcptTo", "onArrival"],
    properties: accessListProperties,
    create: accessList,
  }),
  "archive-copy": kitSink({
    name: "archive-copy",
    sentence: "Keeps a copy of every message in a folder, on disk before the client hears 250.",
    events: ["onArrival"],
    properties: archiveCopyProperties,
    create: archiveCopy,
  }),
  dnsbl: kitSink({
    name: "dnsbl",
    sentence:
      "Asks DNS lists about the client, adds up their weights, and refuses, defers or marks from a threshold on.",
    events: ["onRcptTo", "onEndOfData"],
    properties: dnsblProperties,
    create: dnsbl,
  }),
  greylist: kitSink({
    name: "greylist",
    sentence: "Defers the first attempt of a client, sender and recipient not seen together before.",
    events: ["onRcptTo"],
    properties: greylistProperties,
    create: greylist,
  }),
  "header-limit": kitSink({
    name: "header-limit",
    sentence: "Refuses headers that are too large, or that hold twice what may stand there once.",
    events: ["onHeaders"],
    properties: headerLimitProperties,
    create: headerLimit,
  }),
  "loop-guard": kitSink({
    name: "loop-guard",
    sentence: "Refuses a message that has passed through too many hosts.",
    events: ["onArrival"],
    properties: loopGuardProperties,
    create: ({ hops_max: hopsMax }) => loopGuard({ hopsMax }),
  }),
  "rate-limit": kitSink({
    name: "rate-limit",
    sentence: "Defers what is more than so many messages, recipients or connections in a time, for each key.",
    events: ["onConnect", "onMailFrom", "onRcptTo"],
    properties: rateLimitProperties,
    create: rateLimit,
  }),
  "relay-control": kitSink({
    name: "relay-control",
    sentence:
      "Takes mail for these domains and from users who logged in, nothing else; stricter than the server's own.",
    events: ["onRcptTo"],
    properties: relayControlProperties,
    create: ({ local, relay }) => relayControl({ localDomains: new Set(local), relayDomains: new Set(relay) }),
  }),
  "size-limit": kitSink({
    name: "size-limit",
    sentence: "Refuses messages above a size; with a rule, those of some clients, users, senders or recipients.",
    events: ["onMailFrom", "onRcptTo", "onEndOfData"],
    properties: sizeLimitProperties,
    create: sizeLimit,
  }),
  tarpit: kitSink({
    name: "tarpit",
    sentence: "Lets clients wait for negative replies, and those of some networks for every reply.",
    events: ["onReply", "onDisconnect"],
    properties: tarpitProperties,
    create: tarpit,
  }),
};

/** The sink of that name; undefined where there is none. */
export function findKitSink(name: string | undefined): KitSink | undefined {
  return name !== undefined && Object.hasOwn(kit, name) ? kit[name] : undefined;
}

/** @throws {Fault} `sink.load` where there is none of that name */
export function kitSinkNamed(name: string): KitSink {
  const found = findKitSink(name);
  if (found) return found;
  const nearest = nearestWord(name, Object.keys(kit));
  const remedy = nearest === undefined ? `expected one of ${Object.keys(kit).join(", ")}` : `did you mean ${nearest}?`;
  throw new Fault("sink.load", `There is no sink named ${JSON.stringify(name)} in OnArrival; ${remedy}`);
}
