/**
 * Changing bindings over the control socket: what the server offers, as plain data, and its routes. One change each, whole or not at all.
 * The admin port has none of this.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeThrown, Fault, type FaultCode } from "../platform/fault.ts";
import type { BindingView } from "./server-view.ts";

/** Octets of a request. */
export const bindingRequestOctetsMax = 1024 * 1024;

/** One binding that a change made different. */
export interface BindingDifference {
  readonly sign: "+" | "-" | "~";
  readonly id: string;
  /** `priority 100 → 50`, one for each field. */
  readonly words: readonly string[];
}

/** What a change did. */
export interface BindingChange {
  /** Of the document as it is now; the same as before where nothing differed. */
  readonly revision: number;
  readonly changes: readonly BindingDifference[];
  /** What is legal and most likely not meant, one sentence each. */
  readonly warnings: readonly string[];
}

export interface BindingRevision {
  readonly revision: number;
  /** RFC 3339. */
  readonly changedAt: string;
  /** The revision whose content it took up again, where it came by `undo`. */
  readonly restored: number | null;
  readonly isPresent: boolean;
  readonly changes: readonly BindingDifference[];
}

/** Every change rejects with a Fault where it cannot be done, and then nothing changed. */
export interface BindingControl {
  /** Overrides whose binding is not there now. */
  missing(): readonly BindingView[];
  /** @throws {Fault} `binding.invalid`, `rule.syntax`; `sink.load` where the sink cannot be loaded and it is not forced */
  add(fields: unknown, options: { readonly force: boolean }): Promise<BindingChange & { readonly id: string }>;
  /** @throws {Fault} `binding.invalid`, `binding.unknown`, `binding.conflict`, `rule.syntax`, `sink.load` */
  set(
    ids: readonly string[],
    change: { readonly set: unknown; readonly reset: unknown; readonly force: boolean },
  ): Promise<BindingChange>;
  /** Of bindings that were added; with `override`, what is set over any. @throws {Fault} `binding.unknown`, `binding.conflict` */
  remove(ids: readonly string[], options: { readonly override: boolean }): Promise<BindingChange>;
  export(): string;
  /** @throws {Fault} `binding.invalid`, `rule.syntax`, `sink.load` */
  import(
    json: string,
    options: { readonly mode: "merge" | "replace"; readonly dryRun: boolean; readonly force: boolean },
  ): Promise<BindingChange>;
  /** Goes back to what was before the last change, or to that revision. @throws {Fault} `binding.conflict` */
  undo(options: { readonly to?: number }): Promise<BindingChange>;
  /** Oldest first. */
  history(): Promise<readonly BindingRevision[]>;
}

/** `/api/v1/bindings`, the part that changes something, and its file `/api/v1/bindings.json`. */
export function createBindingApi(control: BindingControl): Hono {
  const api = new Hono();
  const isSmall = bodyLimit({
    maxSize: bindingRequestOctetsMax,
    onError: (context) =>
      context.json(
        { error: `the request is larger than ${bindingRequestOctetsMax} octets`, code: "binding.invalid" },
        413,
      ),
  });
  for (const path of ["/api/v1/bindings/*", "/api/v1/bindings.json"]) api.use(path, isSmall);
  api.post("/api/v1/bindings", async (context) => {
    const { force, ...fields } = await readBody(context);
    return context.json(await control.add(fields, { force: force === true }));
  });
  api.post("/api/v1/bindings/undo", async (context) => {
    const { to } = await readBody(context);
    if (to !== undefined && !(typeof to === "number" && Number.isSafeInteger(to) && to >= 0))
      throw new Fault("binding.invalid", "to: expected a revision");
    return context.json(await control.undo({ ...(to !== undefined && { to }) }));
  });
  api.get("/api/v1/bindings/history", async (context) => context.json({ revisions: await control.history() }));
  // Several at once are one change, so they are named in the body; one alone may stand in the path.
  api.on("PATCH", ["/api/v1/bindings", "/api/v1/bindings/:id"], async (context) => {
    const { ids, set = {}, reset = [], force } = await readBody(context);
    return context.json(await control.set(readIds(context, ids), { set, reset, force: force === true }));
  });
  api.on("DELETE", ["/api/v1/bindings", "/api/v1/bindings/:id"], async (context) => {
    const { ids, override } = await readBody(context);
    return context.json(await control.remove(readIds(context, ids), { override: override === true }));
  });
  api.get("/api/v1/bindings.json", (context) =>
    context.body(control.export(), 200, { "Content-Type": "application/json; charset=utf-8" }),
  );
  api.put("/api/v1/bindings.json", async (context) => {
    const { mode = "merge", dryRun, force } = context.req.query();
    if (mode !== "merge" && mode !== "replace") throw new Fault("binding.invalid", "mode: expected merge or replace");
    const options = { mode, dryRun: dryRun === "true", force: force === "true" } as const;
    return context.json(await control.import(await context.req.text(), options));
  });
  api.onError((error, context) => {
    if (!(error instanceof Fault)) return context.json({ error: describeThrown(error) }, 500);
    const { code, message, facts } = error;
    return context.json(
      { error: message, code, ...(typeof facts.column === "number" && { column: facts.column }) },
      statusOf(code),
    );
  });
  return api;
}

function statusOf(code: FaultCode): 400 | 404 | 409 | 500 {
  switch (code) {
    case "binding.invalid":
    case "rule.syntax":
      return 400;
    case "binding.unknown":
      return 404;
    case "binding.conflict":
    case "sink.load":
      return 409;
    default:
      return 500;
  }
}

async function readBody(context: Context): Promise<Readonly<Record<string, unknown>>> {
  const text = await context.req.text();
  if (text === "") return {};
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  } catch (error) {
    throw new Fault("binding.invalid", `the request is no JSON: ${describeThrown(error)}`, { cause: error });
  }
  throw new Fault("binding.invalid", "the request: expected a JSON object");
}

function readIds(context: Context, ids: unknown): readonly string[] {
  const id = context.req.param("id");
  if (id !== undefined) return [id];
  if (Array.isArray(ids) && ids.length > 0 && ids.every((one) => typeof one === "string")) return ids as string[];
  throw new Fault("binding.invalid", "ids: expected the ids of bindings");
}
