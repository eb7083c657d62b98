/** `onarrival serve` and the verbs that ask it, as processes on a site of their own. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { formatBanner } from "../../../src/cli/serve.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { type RunningCommand, runCommand, startCommand } from "../../support/command.ts";
import { plainOutput } from "../../support/terminal.ts";

const root = mkdtempSync(join(tmpdir(), "serve-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let cwd: string;
let count = 0;
const started: RunningCommand[] = [];

beforeEach(() => {
  cwd = join(root, String(count++));
  mkdirSync(join(cwd, "scripts"), { recursive: true });
  writeFileSync(
    join(cwd, "scripts/a.ts"),
    'export const rule = "RCPT TO=*@example.test";\nexport const onArrival = () => {};\n',
  );
});
afterEach(async () => {
  for (const server of started.splice(0)) {
    server.child.kill("SIGKILL");
    await server.ended;
  }
});

function serve(...args: string[]): RunningCommand {
  const server = startCommand(["serve", "--smtp-port", "0", "--admin-port", "0", ...args], { cwd });
  started.push(server);
  return server;
}

describe("onarrival serve", () => {
  test("says where everything is, answers the other verbs, and stops when told to", async () => {
    const server = serve();
    await server.until("is running.");
    const json = async (...args: string[]) =>
      (await runCommand([...args, "--json"], { cwd })).out
        .trim()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as unknown);
    expect(await json("scripts", "list")).toMatchObject([
      { name: "scripts/a.ts", state: "live", rule: "RCPT TO=*@example.test" },
    ]);
    expect(await json("bindings", "list", "--event", "onArrival")).toMatchObject([
      { name: "scripts/a.ts", kind: "script" },
      { name: "loop-guard", source: "server" },
    ]);
    expect(await runCommand(["bindings", "list", "--event", "onArival"], { cwd })).toMatchObject({
      status: 2,
      err: 'onarrival: There is no event "onArival"\nDid you mean onArrival?\n',
    });
    expect(await json("queue", "list")).toEqual([]);
    expect((await runCommand(["queue", "list", "--to", "@example.org"], { cwd })).err).toBe(
      "Nothing in the queue matches.\n",
    );
    expect(await runCommand(["queue", "list"], { cwd })).toEqual({ status: 0, out: "", err: "The queue is empty.\n" });
    expect(await runCommand(["queue", "show", "NONE"], { cwd })).toMatchObject({
      status: 1,
      err: expect.stringContaining('no message "NONE" is in the queue'),
    });
    server.child.kill("SIGTERM");
    const { status, out, err } = await server.ended;
    expect(status).toBe(0);
    expect(err).toMatch(/mail in +smtp:\/\/127\.0\.0\.1:\d+ {2}for example\.test \(listener mx\)/);
    expect(err).toMatch(/curl -sS smtp:\/\/127\.0\.0\.1:\d+ /);
    for (const line of out.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("event");
    expect((await runCommand(["queue", "list"], { cwd })).status).toBe(3);
  });

  test("says at the start which scripts and sinks cannot run", async () => {
    writeFileSync(join(cwd, "scripts/b.ts"), "export const onArrival = () => {");
    writeFileSync(join(cwd, "onarrival.toml"), '[[sinks]]\nmodule = "./none.ts"\nevent = "onArrival"\n');
    const server = serve();
    await server.until("is running.");
    server.child.kill("SIGTERM");
    const { err } = await server.ended;
    expect(err).toMatch(/^ {2}not running {2}scripts\/b\.ts {2}onArrival goes on without it: .+$/m);
    expect(err).toMatch(/^ {2}not running {2}none\.ts {2}onArrival goes on without it: .+$/m);
  });

  test("reads scripts and configuration again on SIGHUP, and keeps the present ones where the new are wrong", async () => {
    writeFileSync(join(cwd, "onarrival.toml"), '[domains]\nlocal = ["example.test"]\n');
    const server = serve();
    await server.until("is running.");
    writeFileSync(join(cwd, "onarrival.toml"), '[domains]\nlocal = ["example.test", "example.org"]\n');
    server.child.kill("SIGHUP");
    await server.until("reloaded: domains.local: now example.org, example.test");
    writeFileSync(join(cwd, "onarrival.toml"), "nonsense = 1\n");
    server.child.kill("SIGHUP");
    await server.until('unknown key "nonsense"');
    expect((await runCommand(["queue", "list", "--config", "/dev/null", "--data", "data"], { cwd })).status).toBe(0);
    server.child.kill("SIGINT");
    expect((await server.ended).status).toBe(0);
  });

  test("leaves at once at the second signal", async () => {
    const server = serve();
    await server.until("is running.");
    const port = Number(/smtp:\/\/127\.0\.0\.1:(\d+)/.exec(await errOf(server))![1]);
    // A client in the middle of its message: the server waits for it.
    const { connect } = await import("node:net");
    const client = connect(port, "127.0.0.1");
    client.on("error", () => {});
    await converse(client, ["EHLO client.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.test>", "DATA"]);
    client.write("Subject: half\r\n");
    server.child.kill("SIGTERM");
    await server.until("Stopping:");
    // Two signals close together are one press of Ctrl-C that came by two ways.
    await new Promise((resolve) => setTimeout(resolve, 400));
    server.child.kill("SIGTERM");
    expect(await server.ended).toMatchObject({
      status: 130,
      err: expect.stringContaining("Left at once; what was accepted is in the spool."),
    });
    client.destroy();
  });

  test.each<[why: string, prepare: () => string[] | Promise<string[]>, words: RegExp]>([
    [
      "the scripts folder is not there",
      () => ["--scripts", "none"],
      /^onarrival: Cannot use the scripts folder .*none: it is not there; .*\n$/m,
    ],
    [
      "the scripts folder is a link",
      () => {
        mkdirSync(join(cwd, "elsewhere"));
        symlinkSync("elsewhere", join(cwd, "linked"));
        return ["--scripts", "linked"];
      },
      /^onarrival: Cannot use the scripts folder .*linked: it is a symbolic link; .*\n$/m,
    ],
    [
      "the data folder is a file",
      () => {
        writeFileSync(join(cwd, "data"), "");
        return [];
      },
      /^onarrival: Cannot use the folder .*data: .*\n$/m,
    ],
  ])("ends with one clear line where %s", async (_why, prepare, words) => {
    const result = await serve(...(await prepare())).ended;
    expect(result.status).toBe(1);
    expect(result.err).toMatch(words);
    expect(result.err.trim().split("\n")).toHaveLength(1);
  });

  test.each(["--smtp-port", "--admin-port"])(
    "ends with one clear line, and nothing half-started, where the port of %s is in use",
    async (flag) => {
      const holder = createServer();
      await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
      const { port } = holder.address() as { port: number };
      const result = await serve(flag, String(port)).ended;
      expect(result.status).toBe(1);
      expect(result.err).toMatch(
        new RegExp(`^onarrival: Cannot listen on 127\\.0\\.0\\.1.*${port}.*another program uses this port\\n$`),
      );
      expect((await runCommand(["queue", "list"], { cwd })).status).toBe(3);
      holder.close();
    },
  );

  test("refuses a data folder that another server uses", async () => {
    await serve().until("is running.");
    const second = await serve().ended;
    expect(second.status).toBe(1);
    expect(second.err.trim().split("\n")).toHaveLength(1);
    expect((await runCommand(["queue", "list"], { cwd })).status).toBe(0);
  });
});

describe("formatBanner", () => {
  test("names addresses a client can use, and says nothing of a first message where none can be sent", () => {
    const loaded = loadConfig({ env: {}, cwd: "/site", flags: { "domains.local": "" } });
    const admin = { address: "::1", port: 8025 };
    const text = formatBanner(
      { loaded, cwd: "/site", server: { admin, listeners: [{ name: "mx", address: "::", port: 25, role: "mx" }] } },
      plainOutput,
    );
    expect(text).toContain("smtp://[::]:25  for no domain of ours (listener mx)");
    expect(text).toContain("http://[::1]:8025/readyz");
    expect(text).not.toContain("curl");
    const usable = loadConfig({ env: {}, cwd: "/site" });
    const all = { admin, listeners: [{ name: "mx", address: "0.0.0.0", port: 25, role: "mx" }] };
    expect(formatBanner({ loaded: usable, cwd: "/site", server: all }, plainOutput)).toContain(
      "curl -sS smtp://127.0.0.1:25 --mail-from me@example.com --mail-rcpt you@example.test",
    );
  });

  test("says where mail goes that is not for a Maildir, and proposes no message that would be refused", () => {
    const server = {
      admin: { address: "::1", port: 8025 },
      listeners: [{ name: "mx", address: "127.0.0.1", port: 25, role: "mx" }],
    };
    const bannerOf = (flags: Record<string, string>) =>
      formatBanner({ loaded: loadConfig({ env: {}, cwd: "/site", flags }), cwd: "/site", server }, plainOutput);
    expect(bannerOf({})).toContain("other mail   held: no smarthost is configured\n");
    expect(bannerOf({ "delivery.remote": "mx" })).toContain("other mail   to the mail exchangers of its domain\n");
    const gateway = bannerOf({ "domains.relay": "example.org", "delivery.local": "lmtp://127.0.0.1:24" });
    expect(gateway).toContain("for example.test, example.org (listener mx)");
    expect(gateway).toContain("mailboxes    lmtp://127.0.0.1:24\n");
    expect(gateway).not.toContain("curl");
    expect(bannerOf({ "domains.mailboxes": "mailboxes" })).not.toContain("curl");
  });

  test("says how each listener is spoken to, and once why a sink of several events cannot run", () => {
    const usable = loadConfig({ env: {}, cwd: "/site" });
    const [listener] = usable.config.listeners;
    const tls = { mode: "implicit", cert: "c", key: "k", askCertificate: false, more: [] } as const;
    const loaded = {
      ...usable,
      config: { ...usable.config, listeners: [{ ...listener!, name: "smtps", tls }, listener!] },
    };
    const at = (name: string, port: number, role: string) => ({ name, address: "127.0.0.1", port, role });
    const broken = [
      { name: "a", event: "onConnect", reason: "no" },
      { name: "a", event: "onRcptTo", reason: "no" },
      { name: "b", event: "onRcptTo", reason: "no" },
    ] as const;
    const text = formatBanner(
      {
        loaded,
        cwd: "/site",
        server: {
          admin: { address: "::1", port: 8025 },
          listeners: [at("smtps", 465, "mx"), at("lmtp", 24, "lmtp"), at("sub", 587, "submission")],
        },
        broken,
      },
      plainOutput,
    );
    expect(text).toContain("smtps://127.0.0.1:465  for example.test (listener smtps)");
    expect(text).toContain("lmtp://127.0.0.1:24  for example.test (listener lmtp)");
    expect(text).toContain("smtp://127.0.0.1:587  for users who logged in (listener sub)");
    expect(text).toContain("  not running  a  onConnect, onRcptTo go on without it: no\n");
    expect(text).toContain("  not running  b  onRcptTo goes on without it: no\n");
    expect(text).not.toContain("curl");
  });
});

/** Standard error so far; read from the process by waiting for what is there already. */
async function errOf(server: RunningCommand): Promise<string> {
  let text = "";
  await server.until({ test: (output: string) => output.includes("is running.") && (text = output) !== "" } as RegExp);
  return text;
}

async function converse(client: import("node:net").Socket, lines: readonly string[]): Promise<void> {
  const reply = () => new Promise<void>((resolve) => client.once("data", () => resolve()));
  await reply();
  for (const line of lines) {
    client.write(`${line}\r\n`);
    await reply();
  }
}
