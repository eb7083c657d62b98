/**
 * `onarrival/test`, as test files import it (its types are api-test.ts): compiled into them, so it runs in an isolate, as a handler that goes through the tests one after
 * the other. It asks whoever started it to run the script, by requests that never leave the server (`testOrigin`).
 */
import type { Context } from "./api-context.ts";
import type { TestMail, TestMessage, TestOutcome, TestSetup } from "./api-test.ts";

export const testOrigin = "onarrival-test:";
/** What a test file exports besides, for whoever runs it. */
export const testFileEnd = '\nexport { onArrival } from "onarrival/test";\n';

/** How a test fared; `stack` is that of what it threw. */
export interface ToldTest {
  readonly name: string;
  readonly failed: { readonly message: string; readonly stack: string } | null;
}

const tests: { readonly name: string; readonly body: () => unknown }[] = [];
let ask: ((what: string, given: object) => Promise<unknown>) | null = null;

export function test(name: string, body: () => unknown): void {
  if (typeof body !== "function") throw new TypeError("test takes a name and a function");
  tests.push({ name: String(name), body });
}

export function mail(message: TestMail | string): TestMessage {
  return { mail: message };
}

export async function run(message: TestMessage | null = null, setup: TestSetup = {}): Promise<TestOutcome> {
  if (ask === null) throw new TypeError("run is there within a test only");
  const answer = (await ask("run", { mail: message === null ? null : portable(message.mail), setup })) as {
    readonly refused?: string;
  } & TestOutcome;
  if (answer.refused !== undefined) throw new TypeError(answer.refused);
  return answer;
}

export function expect(found: unknown, wanted: unknown): void {
  const differences: string[] = [];
  look(found, wanted, "", differences);
  if (differences.length > 0) throw new ExpectationError(differences.join("\n"));
}

class ExpectationError extends Error {
  override readonly name = "ExpectationError";
}

export async function onArrival(_mail: unknown, { http }: Pick<Context, "http">): Promise<void> {
  ask = async (what, given) => await (await http.post(`${testOrigin}${what}`, { ...given })).json();
  const told: ToldTest[] = [];
  for (const { name, body } of tests) {
    try {
      await body();
      told.push({ name, failed: null });
    } catch (thrown) {
      const { message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
      told.push({ name, failed: { message: message.slice(0, 8_000), stack: (stack ?? "").slice(0, 8_000) } });
    }
  }
  await ask("done", { told });
}

/** Octets of attachments go as base64. */
function portable(message: TestMail | string): unknown {
  if (typeof message === "string" || !message.attachments) return message;
  const attachments = message.attachments.map(({ content, ...facts }) => {
    if (typeof content === "string") return { ...facts, text: content };
    const octets = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
    return { ...facts, base64: (octets as Uint8Array & { toBase64(): string }).toBase64() };
  });
  return { ...message, attachments };
}

function look(found: unknown, wanted: unknown, path: string, differences: string[]): void {
  if (wanted instanceof RegExp) {
    if (typeof found !== "string" || !wanted.test(found))
      differences.push(`${place(path)}${shown(found)} does not match ${wanted}`);
    return;
  }
  if (Array.isArray(wanted)) {
    if (!Array.isArray(found)) differences.push(`${place(path)}expected a list, found ${shown(found)}`);
    else if (found.length !== wanted.length)
      differences.push(`${place(path)}expected ${wanted.length} of them, found ${found.length}: ${shown(found)}`);
    else for (const [i, item] of wanted.entries()) look(found[i], item, `${path}[${i}]`, differences);
    return;
  }
  if (typeof wanted === "object" && wanted !== null) {
    if (typeof found !== "object" || found === null)
      differences.push(`${place(path)}expected ${shown(wanted)}, found ${shown(found)}`);
    else
      for (const [key, item] of Object.entries(wanted))
        look((found as Record<string, unknown>)[key], item, path === "" ? key : `${path}.${key}`, differences);
    return;
  }
  if (!Object.is(found, wanted)) differences.push(`${place(path)}expected ${shown(wanted)}, found ${shown(found)}`);
}

function place(path: string): string {
  return path === "" ? "" : `${path}: `;
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value)).slice(0, 500);
}
