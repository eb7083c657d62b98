/**
 * The admin port: health checks and metrics over TCP. It changes nothing and shows no mail, so it needs no login; a page in somebody's
 * browser still must not read it, so requests have to name a host that is ours (RELIABILITY §5).
 */
import { createServer } from "node:http";
import { hostname as machineName } from "node:os";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { ServerView } from "./server-view.ts";

/** A request that is not complete by then is dropped. */
const requestTimeoutMs = 10_000;
const connectionsMax = 100;

export interface AdminServer {
  readonly address: string;
  /** The one it listens on, also where 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

export interface AdminOptions {
  readonly view: ServerView;
  readonly address: string;
  readonly port: number;
  /** Host names that a request may carry besides `localhost`, the machine's name and addresses. */
  readonly hosts: readonly string[];
}

/** `/livez`, `/readyz`, `/metrics`, without a socket. */
export function createAdminApi({
  view,
  hosts,
}: {
  readonly view: ServerView;
  readonly hosts: readonly string[];
}): Hono {
  const allowed = new Set(["localhost", machineName(), ...hosts].map((host) => host.toLowerCase()));
  const api = new Hono();
  api.use(async (context, next) => {
    context.header("Cache-Control", "no-store");
    context.header("X-Content-Type-Options", "nosniff");
    const host = hostOf(context.req.header("host"));
    if (host === undefined || !(allowed.has(host) || isAddress(host))) {
      return context.text(
        "This host name is not served here. Names are allowed with admin.hosts in the configuration.\n",
        421,
      );
    }
    await next();
  });
  api.get("/livez", (context) => context.text("ok\n"));
  api.get("/readyz", (context) => {
    const { ready, reasons } = view.ready();
    const isVerbose = context.req.query("verbose") !== undefined;
    return context.text(
      isVerbose && !ready
        ? `not ready\n${reasons.map((reason) => `- ${reason}\n`).join("")}`
        : ready
          ? "ready\n"
          : "not ready\n",
      ready ? 200 : 503,
    );
  });
  api.get("/metrics", async (context) =>
    context.text(await view.metrics(), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  api.notFound((context) => context.text("There are /livez, /readyz and /metrics here.\n", 404));
  api.onError((_error, context) => context.text("This did not work; the log says why.\n", 500));
  return api;
}

/** @throws {Fault} `listen.failed` */
export async function serveAdmin({ view, address, port, hosts }: AdminOptions): Promise<AdminServer> {
  const server = createServer(
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs },
    getRequestListener(createAdminApi({ view, hosts }).fetch),
  );
  server.maxConnections = connectionsMax;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port }, resolve);
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === "EADDRINUSE"
        ? "another program uses this port"
        : code === "EACCES"
          ? "this user may not open the port"
          : describeThrown(error);
    throw new Fault("listen.failed", `Cannot listen on ${address}:${port} (admin port): ${why}`, {
      cause: error,
      facts: { address, port },
    });
  }
  const bound = server.address();
  return {
    address,
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** The host of a Host field, without its port, in lower case. */
function hostOf(field: string | undefined): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(field ?? "");
  return match?.[1]?.toLowerCase();
}

/** An address is no name, and only names can be made to point at us by somebody else. */
function isAddress(host: string): boolean {
  return host.startsWith("[") || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host);
}
