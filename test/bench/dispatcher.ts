/**
 * What an event costs: with nothing bound, with one synchronous sink, with ten, with a rule that does not hold. Run: node --expose-gc test/bench/dispatcher.ts
 * Times are medians of several rounds on this machine; octets are what the heap grew by for each event with nothing bound.
 */
import { Dispatcher } from "../../src/events/dispatcher.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import { proceed } from "../../src/events/verdict.ts";
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
function measure(dispatcher: Dispatcher): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < events; i++) dispatcher.ask("onArrival", subject);
    times.push(Number(process.hrtime.bigint() - start) / events);
  }
  return times.sort((one, other) => one - other)[rounds >> 1]!;
}

/** Octets the heap grows by for each event. */
function allocation(dispatcher: Dispatcher): number {
  for (let i = 0; i < events; i++) dispatcher.ask("onArrival", subject);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < events; i++) dispatcher.ask("onArrival", subject);
  return (process.memoryUsage().heapUsed - before) / events;
}

const nothing = createDispatcher();
const unboundNs = measure(nothing);
const one = measure(bound(1));
const ten = measure(bound(10));
const unmet = measure(bound(1, "MAIL FROM=*@nobody.example"));
const octets = allocation(nothing);

console.log(
  `nothing bound            ${unboundNs.toFixed(1)} ns, ${octets.toFixed(2)} octets   (at most 50 ns, 0 octets)`,
);
console.log(`one sink                 ${one.toFixed(0)} ns`);
console.log(`each further sink        ${((ten - one) / 9).toFixed(0)} ns   (at most 1,000 ns)`);
console.log(`one rule that is not met ${unmet.toFixed(0)} ns`);
const reached = unboundNs <= 50 && octets < 0.5 && (ten - one) / 9 <= 1_000 && one <= 1_050;
console.log(reached ? "reached" : "NOT REACHED");
process.exitCode = reached ? 0 : 1;
