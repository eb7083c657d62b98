/** Expressions that are evaluated by a script in its isolate, and by Node itself, so that the two can be compared. */
import { runInThisContext } from "node:vm";
import type { Sandbox } from "../../sandbox/host.ts";
import type { ScriptLimits } from "../../sandbox/protocol.ts";
import { messageOf, runScript, type ScriptFolder } from "./scripts.ts";

/** What an expression gives, as JSON; or the name of what it throws. */
const evaluate = `async (make) => {
  try {
    const value = await make();
    return value === undefined ? "undefined" : JSON.stringify(value);
  } catch (thrown) {
    return "throws " + thrown.name;
  }
}`;

const mail = messageOf("From: a@example.com\nSubject: one\n\nbody\n");

/** Results in the order of the expressions, of one run of one script. */
export async function inIsolate(
  place: { readonly sandbox: Sandbox; readonly folder: ScriptFolder },
  expressions: readonly string[],
  limits: Partial<ScriptLimits> = {},
): Promise<string[]> {
  const text = `
    const evaluate = ${evaluate};
    export const onArrival = async () => {
      ${expressions.map((expression) => `console.log(await evaluate(async () => (${expression})));`).join("\n")}
    };`;
  const { fault, log } = await runScript(place, text, mail, {
    limits: { logLinesMax: 10_000, cpuMs: 5_000, ...limits },
  });
  if (fault) throw new Error(`${fault.code}: ${fault.message} ${fault.stack}`);
  return log.map((line) => line.text);
}

/** The same of Node. */
export async function inNode(expressions: readonly string[]): Promise<string[]> {
  const results: string[] = [];
  for (const expression of expressions)
    results.push(await runInThisContext(`(${evaluate})(async () => (${expression}))`));
  return results;
}
