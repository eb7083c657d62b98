/** Scripts in the operator's hands, over the control socket: going back to a version, approving what one asks for, and the scripts' store. */
import { type Context, Hono } from "hono";
import { Fault } from "../platform/fault.ts";
import { guardRequests, readCount, readObject, readWords } from "./control-request.ts";
import type { ScriptView } from "./server-view.ts";

/** What the store holds of a script. */
export interface StoreUsage {
  readonly entries: number;
  readonly sizeOctets: number;
  readonly sizeOctetsMax: number;
}

export interface ScriptsControl {
  /** Each gives the script as it is then. @throws {Fault} `script.no-version`, `control.invalid`; then nothing changed */
  rollback(script: string, version: string | null, author: string | null): Promise<ScriptView>;
  unpin(script: string, author: string | null): Promise<ScriptView>;
  /** @param version the one whose grants were shown; another is refused */
  approve(script: string, version: string, author: string | null): Promise<ScriptView>;
  readonly store: {
    /** At most `limit` keys behind `after`, in order. @throws {Fault} `kv.failed`, all of these */
    list(
      script: string,
      page: { readonly prefix: string; readonly after: string; readonly limit: number },
    ): Promise<{ readonly keys: readonly string[]; readonly usage: StoreUsage }>;
    /** JSON; null where there is none. */
    get(script: string, key: string): Promise<unknown>;
    set(script: string, key: string, value: unknown, options: { readonly ttlS: number | null }): Promise<void>;
    delete(script: string, key: string): Promise<boolean>;
    /** Gives how many there were. */
    clear(script: string): Promise<number>;
  };
}

const nameLengthMax = 500;
const authorLengthMax = 200;
const keyLengthMax = 512;
const listMax = 1_000;
const ttlSMax = 100 * 365 * 86_400;

/** `/api/v1/scripts/{rollback,unpin,approve,store}`; the list of scripts is the view's. */
export function createScriptsApi(control: ScriptsControl): Hono {
  const api = new Hono();
  guardRequests(api, ["/api/v1/scripts/*"]);
  api.post("/api/v1/scripts/rollback", async (context) => {
    const { script, version, author } = await readObject(context);
    const wanted = readWords(version, "version", nameLengthMax) ?? null;
    return context.json({ script: await control.rollback(readScript(script), wanted, readAuthor(author)) });
  });
  api.post("/api/v1/scripts/unpin", async (context) => {
    const { script, author } = await readObject(context);
    return context.json({ script: await control.unpin(readScript(script), readAuthor(author)) });
  });
  api.post("/api/v1/scripts/approve", async (context) => {
    const { script, version, author } = await readObject(context);
    const shown = readWords(version, "version", nameLengthMax);
    if (shown === undefined)
      throw new Fault("control.invalid", "version: expected the one whose grants have been looked at");
    return context.json({ script: await control.approve(readScript(script), shown, readAuthor(author)) });
  });
  addStoreRoutes(api, control.store);
  return api;
}

function addStoreRoutes(api: Hono, store: ScriptsControl["store"]): void {
  const keys = "/api/v1/scripts/store/keys";
  const value = "/api/v1/scripts/store/value";
  api.get(keys, async (context) => {
    const { script, prefix = "", after = "", limit: limitText } = context.req.query();
    const limit = readCount(limitText, { name: "limit", min: 1, max: listMax }) ?? listMax;
    return context.json(await store.list(readScript(script), { prefix, after, limit }));
  });
  api.delete(keys, async (context) =>
    context.json({ removed: await store.clear(readScript(context.req.query("script"))) }),
  );
  api.get(value, async (context) => {
    const { script, key } = readPlace(context);
    return context.json({ value: await store.get(script, key) });
  });
  api.put(value, async (context) => {
    const { script, key } = readPlace(context);
    const { value: given, ttlS } = await readObject(context);
    if (given === undefined) throw new Fault("control.invalid", "value: expected one");
    await store.set(script, key, given, {
      ttlS: readCount(ttlS, { name: "ttlS", min: 1, max: ttlSMax }) ?? null,
    });
    return context.json({});
  });
  api.delete(value, async (context) => {
    const { script, key } = readPlace(context);
    return context.json({ deleted: await store.delete(script, key) });
  });
}

function readPlace(context: Context): { readonly script: string; readonly key: string } {
  const { script, key } = context.req.query();
  if (key === undefined || key === "" || key.length > keyLengthMax)
    throw new Fault("control.invalid", `key: expected from 1 to ${keyLengthMax} characters`);
  return { script: readScript(script), key };
}

/** @throws {Fault} `control.invalid` */
function readScript(value: unknown): string {
  const script = readWords(value, "script", nameLengthMax);
  if (script === undefined) throw new Fault("control.invalid", "script: expected the name of one");
  return script;
}

function readAuthor(value: unknown): string | null {
  return readWords(value, "author", authorLengthMax) ?? null;
}
