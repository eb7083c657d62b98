/** What transcripts cannot play, with both engines: TLS, logins, limits on connections, and how a listener closes. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { AuthSubject, SessionSubject } from "../../../src/events/subject.ts";
import { drop } from "../../../src/events/verdict.ts";
import { startLibraryListener } from "../../../src/inbound/library-engine.ts";
import type { Listener, ListenerOptions } from "../../../src/inbound/listener.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import type { Message } from "../../../src/mail/message.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { relayControl } from "../../../src/sinks/relay-control.ts";
import { BadMail } from "../../../src/spool/badmail.ts";
import { createBinding } from "../../support/events.ts";
import {
  createDispatcher,
  createListenerOptions,
  createReceptionOptions,
  testCertificate,
  testLimits,
} from "../../support/listener.ts";

const tls = { ...testCertificate, mode: "starttls", askCertificate: false, more: [] } as const;

let folder: string;
let dispatcher: Dispatcher;
let accepted: Message[];
let listener: Listener;
let gate: Promise<void>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-engine-"));
  accepted = [];
  gate = Promise.resolve();
  dispatcher = createDispatcher();
});

afterEach(async () => {
  await listener.close(0);
  rmSync(folder, { recursive: true });
});

async function listen(
  options: Partial<ListenerOptions> = {},
  bindings: Parameters<Dispatcher["replaceBindings"]>[0] = [],
): Promise<void> {
  const relay = relayControl({ localDomains: new Set(["example.test"]), relayDomains: new Set() });
  dispatcher.replaceBindings([createBinding("onRcptTo", relay.onRcptTo!, { source: "server" }), ...bindings]);
  const listenerOptions = createListenerOptions({ limits: { connectionsPerClientMax: 3 }, ...options });
  const reception = new Reception(
    listenerOptions,
    createReceptionOptions({
      dispatcher,
      badmail: new BadMail(folder),
      enqueue: (message) => void accepted.push(message),
    }),
  );
  listener = await start(listenerOptions, reception, { clock: systemClock, log: silentLog });
}

const login = createBinding("onAuth", (subject: AuthSubject) => {
  if (subject.user === "carla" && subject.secret === "right") subject.acceptAs("carla");
});

function send(options: { readonly to: string; readonly pass?: string }): Promise<unknown> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: listener.port,
    tls: { rejectUnauthorized: false },
    ...(options.pass ? { requireTLS: true, auth: { user: "carla", pass: options.pass } } : {}),
  });
  return transport
    .sendMail({ from: "carla@example.test", to: options.to, subject: "one", text: "words" })
    .finally(() => transport.close());
}

const engines = { library: startLibraryListener, native: startNativeListener };
let start: typeof startNativeListener;

describe.each(["library", "native"] as const)("the %s engine: TLS and logins", (engine) => {
  beforeEach(() => {
    start = engines[engine];
  });

  test("a user who logged in behind STARTTLS may relay, and the message says so", async () => {
    const secured: string[] = [];
    await listen({ tls }, [
      login,
      createBinding("onTls", ({ session }: SessionSubject) => void secured.push(session.tls!.version)),
    ]);
    await send({ to: "ann@elsewhere.example", pass: "right" });
    expect(secured).toEqual(["TLSv1.3"]);
    expect(accepted[0]!.origin).toMatchObject({ user: "carla", tls: "TLSv1.3" });
    expect(accepted[0]!.header.get("Received")).toContain(" with ESMTPSA ");
  });

  test("wrong credentials are 535, and nobody relays without a login", async () => {
    await listen({ tls }, [login]);
    await expect(send({ to: "ann@elsewhere.example", pass: "wrong" })).rejects.toMatchObject({ responseCode: 535 });
    await expect(send({ to: "ann@elsewhere.example" })).rejects.toMatchObject({ responseCode: 550 });
    expect(accepted).toEqual([]);
  });
});

/** Everything a connection is told until it is closed. */
function hear(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let heard = "";
    socket.on("data", (chunk) => void (heard += chunk.toString()));
    socket.on("close", () => resolve(heard));
  });
}

describe.each(["library", "native"] as const)("the %s engine: connections", (engine) => {
  beforeEach(() => {
    start = engines[engine];
  });

  test("one more than a client may have is told so and closed; the others go on", async () => {
    await listen();
    const sockets = Array.from({ length: 4 }, () => connect(listener.port, "127.0.0.1"));
    const heard = await Promise.race(sockets.map(hear));
    expect(heard).toMatch(/^421 4\.7\.0 Too many connections/);
    for (const socket of sockets) socket.destroy();
  });

  test("one more than the listener takes is told so and closed, and counts for nobody", async () => {
    const told: unknown[] = [];
    const limits = { ...testLimits, connectionsMax: 1, connectionsPerClientMax: 2 };
    await listen({ limits }, [createBinding("onDisconnect", (subject) => void told.push(subject))]);
    const first = connect(listener.port, "127.0.0.1");
    await new Promise<void>((resolve) => first.once("data", () => resolve()));
    for (let i = 0; i < 3; i++) expect(await hear(connect(listener.port, "127.0.0.1"))).toMatch(/^421 /);
    if (engine === "native") expect(told).toEqual([]);
    await vi.waitFor(() => expect(listener.sessions).toBe(1));
    first.destroy();
  });

  test("a drop at onConnect closes the connection with its words", async () => {
    await listen({}, [createBinding("onConnect", () => drop("Not you"))]);
    expect(await hear(connect(listener.port, "127.0.0.1"))).toMatch(/^421 4\.7\.0 Not you\r\n$/);
  });

  test("a port that is taken is one clear fault", async () => {
    await listen();
    const { port } = listener;
    const first = listener;
    await expect(listen({ port })).rejects.toMatchObject({
      code: "listen.failed",
      message: expect.stringMatching(/another program uses this port/) as string,
    });
    listener = first;
  });
});

describe.each(["library", "native"] as const)("the %s engine: close", (engine) => {
  beforeEach(() => {
    start = engines[engine];
  });

  test("waits for the message in hand, answers it, and sends the idle away with 421", async () => {
    let open: () => void = () => {};
    gate = new Promise((resolve) => (open = resolve));
    await listen({}, [createBinding("onArrival", () => gate)]);
    const idle = connect(listener.port, "127.0.0.1");
    const heard = hear(idle);
    await new Promise<void>((resolve) => idle.once("data", () => resolve()));
    const sent = send({ to: "bob@example.test" });
    const arrived = new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        if (dispatcher.bindingsOf("onArrival").length > 0 && listener.sessions === 2) resolve(clearInterval(poll));
      }, 5);
    });
    await arrived;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const closed = listener.close(5_000);
    setTimeout(open, 100);
    await sent;
    await closed;
    expect(accepted).toHaveLength(1);
    expect(await heard).toContain("421 4.3.2 Shutting down");
  });
});
