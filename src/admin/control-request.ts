/** What the routes of the control socket share: reading a request, and saying no with the fault's own words. */
import type { Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { idPattern } from "../mail/ids.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

/** Octets of a request that carries no mail. */
export const requestOctetsMax = 1024 * 1024;
/** Ids of messages in one request. */
export const idsMax = 10_000;

/** Lets no larger request through on these paths, and answers every fault of theirs. */
export function guardRequests(api: Hono, paths: readonly string[]): void {
  const isSmall = bodyLimit({
    maxSize: requestOctetsMax,
    onError: (context) =>
      context.json({ error: `the request is larger than ${requestOctetsMax} octets`, code: "control.invalid" }, 413),
  });
  for (const path of paths) api.use(path, isSmall);
  api.onError((error, context) => answerFault(error, context));
}

/** A fault as `{ error, code }`; anything else is a bug of ours and told as 500. */
export function answerFault(error: unknown, context: Context): Response {
  if (!(error instanceof Fault)) return context.json({ error: describeThrown(error) }, 500);
  return context.json({ error: error.message, code: error.code }, statusOf(error));
}

function statusOf({ code, blame }: Fault): 400 | 404 | 409 | 413 | 500 {
  if (code === "message.too-large") return 413;
  // How a code ends says what kind of no it is.
  if (/\.unknown(-message)?$/.test(code)) return 404;
  if (code.endsWith(".conflict")) return 409;
  return blame === "client" ? 400 : 500;
}

/** The request's JSON object; an empty request is an empty one. @throws {Fault} `control.invalid` */
export async function readObject(context: Context): Promise<Readonly<Record<string, unknown>>> {
  const text = await context.req.text();
  return text === "" ? {} : parseObject(text);
}

/** @throws {Fault} `control.invalid` */
export function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    // What JSON calls an object has names for keys.
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new Fault("control.invalid", `the request is no JSON: ${describeThrown(error)}`, { cause: error });
  }
  throw new Fault("control.invalid", "the request: expected a JSON object");
}

/** @throws {Fault} `control.invalid` */
export function readIds(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length === 0 || value.length > idsMax)
    throw new Fault("control.invalid", `ids: expected from 1 to ${idsMax} ids of messages`);
  for (const id of value) {
    if (typeof id !== "string" || !idPattern.test(id))
      throw new Fault("control.invalid", `ids: ${JSON.stringify(id)?.slice(0, 40)} is no id of a message`);
  }
  return value as readonly string[];
}

/** A whole number, also where it is written as text. @throws {Fault} `control.invalid` */
export function readCount(
  value: unknown,
  { name, min, max }: { readonly name: string; readonly min: number; readonly max: number },
): number | undefined {
  if (value === undefined) return undefined;
  const count = typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value;
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < min || count > max)
    throw new Fault("control.invalid", `${name}: expected a whole number from ${min} to ${max}`);
  return count;
}

/** One line of words. @throws {Fault} `control.invalid` */
export function readWords(value: unknown, name: string, lengthMax: number): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value.trim() === "" || value.length > lengthMax || /[\x00-\x1f\x7f]/.test(value))
    throw new Fault("control.invalid", `${name}: expected one line of at most ${lengthMax} characters`);
  return value.trim();
}
