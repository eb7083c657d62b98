/**
 * What an event costs: with nothing bound, with one synchronous sink, with ten, with a rule that does not hold. Run: node --expose-gc test/bench/dispatcher.ts
 * Times are medians of several rounds on this machine; octets are what the heap grew by for each event with nothing bound.
 */
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import { proceed } from "../../src/events/verdict.ts";
import { InboundSession, InboundTransaction } from "../../src/inbound/session.ts";
import { RcptToDecision } from "../../src/inbound/subjects.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { silentLog } from "../../src/platform/log.ts";
import { createBinding, createMessage } from "../support/events.ts";

const events = 200_000;
const rounds = 15;
const message = createMessage("Subject: one\nFrom: a@example.org\n\nbody\n");
const subject = { message };

function createDispatcher(): Dispatcher {
  return new Dispatcher({
    log: silentLog,
    clock: systemClock,
    scripts: { run: () => Promise.reject(new Error("no script is bound")) },
  });
}

const willing: AnyHandler = () => proceed;

function bound(count: number, rule: string | null = null): Dispatcher {
  const dispatcher = createDispatcher();
  dispatcher.replaceBindings(
    Array.from({ length: count }, (_, i) =>
      createBinding("onArrival", willing, {
        id: `sink-${i}`,
        rule: rule === null ? null : parseRule(rule, "onArrival"),
      }),
    ),
  );
  return dispatcher;
}

/** Nanoseconds for one event, median of the rounds. */
function measure(ask: () => unknown): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < events; i++) ask();
    times.push(Number(process.hrtime.bigint() - start) / events);
  }
  return times.sort((one, other) => one - other)[rounds >> 1]!;
}

const measureArrival = (dispatcher: Dispatcher): number => measure(() => dispatcher.ask("onArrival", subject));

/** Octets the heap grows by for each event. */
function allocation(dispatcher: Dispatcher): number {
  for (let i = 0; i < events; i++) dispatcher.ask("onArrival", subject);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < events; i++) dispatcher.ask("onArrival", subject);
  return (process.memoryUsage().heapUsed - before) / events;
}

/** Nanoseconds for one sink more at onRcptTo, whose subject keeps what each of them says. */
function measureProtocol(): number {
  const session = new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.1", port: 1, startedAt: 0 });
  const facts = { parameters: new Map<string, string>(), options: {} };
  const decision = new RcptToDecision(session, {
    ...facts,
    forwardPath: { localPart: "b", domain: "example.test" },
    transaction: new InboundTransaction({ ...facts, id: "1", reversePath: null }),
  });
  const timeFor = (count: number): number => {
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings(
      Array.from({ length: count }, (_, i) => createBinding("onRcptTo", willing, { id: `sink-${i}` })),
    );
    return measure(() => dispatcher.ask("onRcptTo", decision));
  };
  return (timeFor(10) - timeFor(1)) / 9;
}

const nothing = createDispatcher();
const unboundNs = measureArrival(nothing);
const one = measureArrival(bound(1));
const ten = measureArrival(bound(10));
const unmet = measureArrival(bound(1, "MAIL FROM=*@nobody.example"));
const octets = allocation(nothing);
const protocolNs = measureProtocol();

console.log(
  `nothing bound            ${unboundNs.toFixed(1)} ns, ${octets.toFixed(2)} octets   (at most 50 ns, 0 octets)`,
);
console.log(`one sink                 ${one.toFixed(0)} ns`);
console.log(`each further sink        ${((ten - one) / 9).toFixed(0)} ns   (at most 1,000 ns)`);
console.log(`each sink at onRcptTo    ${protocolNs.toFixed(0)} ns   (at most 1,000 ns)`);
console.log(`one rule that is not met ${unmet.toFixed(0)} ns`);
const reached = unboundNs <= 50 && octets < 0.5 && (ten - one) / 9 <= 1_000 && one <= 1_050 && protocolNs <= 1_000;
console.log(reached ? "reached" : "NOT REACHED");
process.exitCode = reached ? 0 : 1;
