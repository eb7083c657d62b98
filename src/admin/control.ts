/**
 * The control socket: the HTTP API of a running server for the command line of the same machine. Who may open the socket may ask anything;
 * the file mode (0600) decides who that is.
 */
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rename, rmdir, stat, unlink } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { describeThrown, Fault } from "../platform/fault.ts";
import type { ServerView } from "./server-view.ts";

/** Octets of a socket's path, the end not counted; the kernel's own limit is one more, and macOS has four less. */
const socketPathOctetsMax = process.platform === "darwin" ? 103 : 107;
const probeTimeoutMs = 1_000;

export interface ControlServer {
  readonly path: string;
  /** Stops answering and removes the socket. */
  close(): Promise<void>;
}

/**
 * The API, without a socket. Paths and names are stable: `/api/v1/{scripts,bindings,status}`, and those of `routes`, which each
 * part that can be changed brings itself.
 */
export function createControlApi(view: ServerView, routes: readonly Hono[] = []): Hono {
  const api = new Hono();
  for (const route of routes) api.route("/", route);
  api.get("/api/v1/status", (context) => context.json({ ...view.status(), ...view.ready() }));
  api.get("/api/v1/scripts", (context) => context.json({ scripts: view.scripts() }));
  api.get("/api/v1/bindings", (context) => context.json({ bindings: view.bindings() }));
  api.notFound((context) => context.json({ error: "no such path" }, 404));
  api.onError((error, context) => context.json({ error: describeThrown(error) }, 500));
  return api;
}

/**
 * Serves the API on a unix socket at `path`. A socket nobody answers on is left over from a server that was killed: it is replaced.
 * @throws {Fault} `data.unusable` where a live server answers on it; `listen.failed`
 */
export async function serveControl({
  view,
  path,
  routes = [],
}: {
  readonly view: ServerView;
  readonly path: string;
  /** Further parts of the API: what changes something is served here, and never by the admin port. */
  readonly routes?: readonly Hono[];
}): Promise<ControlServer> {
  if (Buffer.byteLength(path) > socketPathOctetsMax) {
    throw new Fault(
      "listen.failed",
      `Cannot listen on ${path}: the path of a socket has at most ${socketPathOctetsMax} octets; choose a shorter data folder`,
      { facts: { path } },
    );
  }
  if (existsSync(path) && (await isAnswered(path))) {
    throw new Fault(
      "data.unusable",
      `Cannot use the data folder ${dirname(path)}: another server runs on it and answers on ${path}`,
      { facts: { path } },
    );
  }
  // Who hands in a message may be a program that writes it for hours (Node's own limit is five minutes), and nobody but the server's own user gets this far.
  const server = createServer({ requestTimeout: 0 }, getRequestListener(createControlApi(view, routes).fetch));
  try {
    await listenPrivately(server, path);
  } catch (error) {
    throw new Fault("listen.failed", `Cannot listen on ${path}: ${describeThrown(error)}`, {
      cause: error,
      facts: { path },
    });
  }
  const { ino } = await stat(path);
  return {
    path,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      // Another server may have taken the place since; its socket stays.
      const present = await stat(path).catch(() => undefined);
      if (present?.ino === ino) await unlink(path).catch(() => {});
    },
  };
}

/** Binds in a folder nobody else can enter, sets the mode, and moves the socket to its place: it is never there with a wider mode. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const folder = await mkdtemp(join(dirname(path), ".c-"));
  const aside = join(folder, "s");
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(aside, resolve);
    });
    await chmod(aside, 0o600);
    await rename(aside, path);
  } catch (error) {
    server.close();
    await unlink(aside).catch(() => {});
    throw error;
  } finally {
    await rmdir(folder).catch(() => {});
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(probeTimeoutMs, () => done(true));
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
