/** The whole server in this process: how it reloads, and how it stops. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { askServer } from "../../src/cli/control-client.ts";
import { loadConfig } from "../../src/config/load.ts";
import { type RunningServer, startServer } from "../../src/main.ts";
import { changeUsers } from "../../src/sinks/users-file.ts";
import { freePorts } from "../support/free-ports.ts";
import { createRecordingLog, type RecordingLog } from "../support/recording-log.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { createUser } from "../support/submission-users.ts";

let folder: string;
let log: RecordingLog;
let server: RunningServer;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-main-"));
  mkdirSync(join(folder, "scripts"));
  log = createRecordingLog();
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function start(roleOfTwo = "mx"): Promise<void> {
  const [mx, submission, admin] = await freePorts(3);
  const listener = (name: string, port: number, role = "mx") =>
    `[[listeners]]\nname = "${name}"\naddress = "127.0.0.1"\nport = ${port}\nrole = "${role}"\n`;
  configure(
    `${listener("one", mx!)}${listener("two", submission!, roleOfTwo)}[admin]\nport = ${admin}\n[scripts]\nprocesses = 1\n`,
  );
  server = await startServer(load(), { log, loadAgain: load });
}

let rest = "";

function configure(text: string, domain = "example.test"): void {
  rest = text;
  writeFileSync(join(folder, "onarrival.toml"), `${text}[domains]\nlocal = ["${domain}"]\n`);
}

const load = () => loadConfig({ path: join(folder, "onarrival.toml"), env: {}, cwd: folder });

describe("reload", () => {
  test("postmaster without a domain moves with the first local domain", async () => {
    await start();
    configure(rest, "example.org");
    expect(await server.reload()).toContain("domains.local: now example.org");
    const client = await SmtpClient.connect(server.listeners[0]!.port);
    await client.command("MAIL FROM:<>");
    expect(await client.command("RCPT TO:<postmaster>")).toMatchObject({ code: 250 });
    await client.command("QUIT");
  });

  test("other sinks and TLS policies are in force at once; a rule that cannot be read leaves what was", async () => {
    await start();
    const sink = '[[sinks]]\nuse = "size-limit"\nproperties = { size_max = "1KiB" }\n';
    configure(`${rest}${sink}[[delivery.tls]]\nhost = "*.example.net"\npolicy = "verified"\n`);
    expect(await server.reload()).toEqual([
      "delivery: other values of 1 option",
      "sinks: now 1",
      "scripts: read again",
    ]);
    const client = await SmtpClient.connect(server.listeners[0]!.port);
    expect(await client.command("MAIL FROM:<> SIZE=1025")).toMatchObject({ code: 552 });
    configure(`${rest.replace("size_max", "size_maxx")}`);
    await server.reload();
    expect(await client.command("MAIL FROM:<> SIZE=1025")).toMatchObject({ code: 250 });
    await client.command("RSET");
    configure(rest.replace('use = "size-limit"', 'use = "size-limit"\nrule = "SIZE"'));
    await expect(server.reload()).rejects.toMatchObject({ code: "config.invalid" });
    await client.command("QUIT");
  });
});

test("reload leaves the time a message is given up at, which needs a restart, as the queue has it", async () => {
  await start();
  const held = '[[routes]]\nmatch = "*"\nto = "hold"\n';
  configure(`${rest}${held}`);
  await server.reload();
  const client = await SmtpClient.connect(server.listeners[0]!.port);
  for (const line of ["MAIL FROM:<>", "RCPT TO:<ann@example.test>", "DATA", "."]) await client.command(line);
  await client.quit();
  configure(`${rest}[delivery.retry]\nlifetime = "1d"\n`);
  expect(await server.reload()).toContain("delivery: changed, needs a restart");
  const queue = { data: join(folder, "data"), cwd: folder, path: "/api/v1/queue" };
  const { items } = await askServer<{ items: { receivedAt: string; expiresAt: string }[] }>(queue);
  expect(items.map((item) => (Date.parse(item.expiresAt) - Date.parse(item.receivedAt)) / 86_400_000)).toEqual([5]);
});

test("reload says that the users were read again, and only where they were", async () => {
  await start("submission");
  const users = join(folder, "data/users.json");
  await changeUsers(users, () => new Map([["ann", createUser("ann")]]));
  expect(await server.reload()).toEqual(["auth.users: read again, now 1", "scripts: read again"]);
  expect(await server.reload()).toEqual(["scripts: read again"]);
});

describe("reload of addresses and routes", () => {
  const aliases = () => join(folder, "aliases");
  const configureWith = (routes: string) => {
    writeFileSync(
      join(folder, "onarrival.toml"),
      `${rest}${routes}[domains]\nlocal = ["example.test"]\naliases = "./aliases"\nmailboxes = "./mailboxes"\n`,
    );
  };
  const rcpt = async (address: string) => {
    const client = await SmtpClient.connect(server.listeners[0]!.port);
    await client.command("MAIL FROM:<>");
    const { code } = await client.command(`RCPT TO:<${address}>`);
    await client.quit();
    return code;
  };

  test("both are in force at once; where one is wrong, neither is taken up", async () => {
    await start();
    expect(await rcpt("sales@example.test")).toBe(250);
    writeFileSync(aliases(), "sales: ann\n");
    writeFileSync(join(folder, "mailboxes"), "ann\n");
    configureWith('[[routes]]\nmatch = "ann@example.test"\nto = "drop"\n');
    expect(await server.reload()).toContain("routes: now 1");
    expect(await rcpt("sales@example.test")).toBe(250);
    expect(await rcpt("nobody@example.test")).toBe(550);
    writeFileSync(aliases(), "sales: : ann\n");
    configureWith("");
    await expect(server.reload()).rejects.toMatchObject({ code: "config.invalid" });
    expect(await rcpt("sales@example.test")).toBe(250);
    expect(await rcpt("nobody@example.test")).toBe(550);
  });
});

test("an address that is not there is refused at once, and not asked to come again by the greylist", async () => {
  await start();
  writeFileSync(join(folder, "mailboxes"), "ann\n");
  writeFileSync(
    join(folder, "onarrival.toml"),
    `${rest}[[sinks]]\nuse = "greylist"\n[domains]\nlocal = ["example.test"]\nmailboxes = "./mailboxes"\n`,
  );
  await server.reload();
  const client = await SmtpClient.connect(server.listeners[0]!.port);
  await client.command("MAIL FROM:<>");
  expect(await client.command("RCPT TO:<nobody@example.test>")).toMatchObject({ code: 550 });
  expect(await client.command("RCPT TO:<ann@example.test>")).toMatchObject({ code: 451 });
  await client.command("QUIT");
});

describe("stop", () => {
  test("closes every listener at once, however long one has to wait for its client", async () => {
    await start();
    const clients = await Promise.all(server.listeners.map(({ port }) => SmtpClient.connect(port)));
    for (const client of clients) {
      for (const line of ["MAIL FROM:<>", "RCPT TO:<ann@example.test>", "DATA"]) await client.command(line);
    }
    const stopped = server.stop();
    await Promise.all(
      server.listeners.map(
        ({ port }) =>
          new Promise<void>((resolve, reject) => {
            const socket = connect(port, "127.0.0.1");
            socket.once("connect", () => reject(new Error(`${port} still takes connections`)));
            socket.once("error", () => resolve());
          }),
      ),
    );
    expect(await Promise.all(clients.map((client) => client.command(".")))).toMatchObject([
      { code: 250 },
      { code: 250 },
    ]);
    await stopped;
  });

  test("asked for twice is one stop, and both wait for its end", async () => {
    await start();
    void server.stop();
    await server.stop();
    const events = log.lines.map(({ event }) => event).filter((event) => /^(?:server|queue)\.stop/.test(event));
    expect(events).toEqual(["server.stopping", "queue.stopped", "server.stopped"]);
  });
});
