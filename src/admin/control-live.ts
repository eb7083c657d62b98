/**
 * The live half of the control socket's API: the trace of sessions as it happens, and the explanation of a message with the bindings that are
 * live. Only the socket serves it: a trace shows who writes to whom.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { parseRule } from "../events/rule.ts";
import type { TraceEntry, Tracer } from "../events/trace.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { answerFault, readObject } from "./control-request.ts";
import type { ExplainReport, ExplainRequest } from "./explain-view.ts";
import { TraceFilter } from "./trace-filter.ts";

export interface LiveView {
  readonly tracer: Tracer;
  /** @throws {Fault} where the request names what is not there */
  explain(request: ExplainRequest): Promise<ExplainReport>;
}

/** Octets a slow follower may be behind before entries are left out. */
const backlogOctetsMax = 4 * 1024 * 1024;
/** Octets of a message to explain, with what stands around it. */
const requestOctetsMax = 128 * 1024 * 1024;

/** `/api/v1/trace` (JSON lines, as long as the client listens) and `/api/v1/explain`. */
export function createLiveApi({ tracer, explain }: LiveView): Hono {
  const api = new Hono();
  api.get("/api/v1/trace", (context) => {
    const { rule, direction } = context.req.query();
    if (direction !== undefined && direction !== "in" && direction !== "out")
      return context.json({ error: 'direction: expected "in" or "out"' }, 400);
    let filter: TraceFilter;
    try {
      filter = new TraceFilter({ rule: rule === undefined ? null : parseRule(rule), direction });
    } catch (error) {
      return context.json({ error: describeThrown(error) }, 400);
    }
    return new Response(followTrace(tracer, filter), { headers: { "Content-Type": "application/x-ndjson" } });
  });
  const limit = bodyLimit({
    maxSize: requestOctetsMax,
    onError: (context) => context.json({ error: "the message is too large", code: "message.too-large" }, 413),
  });
  api.post("/api/v1/explain", limit, async (context) =>
    context.json(await explain(readExplainRequest(await readObject(context)))),
  );
  api.onError(answerFault);
  return api;
}

/** @throws {Fault} `control.invalid` */
function readExplainRequest({ mail, session, from, to }: Readonly<Record<string, unknown>>): ExplainRequest {
  const { ip, helo, user, listener, tls } = Object(session) as Readonly<Record<string, unknown>>;
  const areTexts = (...values: readonly unknown[]) => values.every((value) => typeof value === "string");
  if (!areTexts(mail, from)) throw new Fault("control.invalid", "mail, from: expected texts");
  if (!Array.isArray(to) || !areTexts(...to)) throw new Fault("control.invalid", "to: expected a list of addresses");
  if (!areTexts(ip, helo, listener, user ?? "") || typeof tls !== "boolean")
    throw new Fault(
      "control.invalid",
      "session: expected ip, helo and listener, user or null, and whether there is TLS",
    );
  // Each was looked at just now.
  return { mail, session: { ip, helo, user: user ?? null, listener, tls }, from, to } as ExplainRequest;
}

/** The entries a filter lets through, one JSON object a line; what a slow reader misses is counted and told. */
function followTrace(tracer: Tracer, filter: TraceFilter): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let stop = () => {};
  let missed = 0;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const write = (entry: TraceEntry | { readonly kind: "missed"; readonly entries: number }) =>
          controller.enqueue(encoder.encode(`${JSON.stringify(entry)}\n`));
        stop = tracer.follow((entry) => {
          for (const shown of filter.take(entry)) {
            if ((controller.desiredSize ?? 0) <= 0) {
              missed++;
              continue;
            }
            if (missed > 0) write({ kind: "missed", entries: missed });
            missed = 0;
            write(shown);
          }
        });
        // Says at once that the trace is on, before anything happens.
        controller.enqueue(encoder.encode("\n"));
      },
      cancel: () => stop(),
    },
    { highWaterMark: backlogOctetsMax, size: (chunk) => chunk.byteLength },
  );
}
