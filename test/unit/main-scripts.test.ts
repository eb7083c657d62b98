/** Scripts in a whole server in this process: versions, grants, store and what a message remembers of them, over the control socket and SMTP. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { QueueItemView } from "../../src/admin/queue-control.ts";
import type { ScriptView } from "../../src/admin/server-view.ts";
import { askServer } from "../../src/cli/control-client.ts";
import { loadConfig } from "../../src/config/load.ts";
import { type RunningServer, startServer } from "../../src/main.ts";
import { freePorts } from "../support/free-ports.ts";
import { createRecordingLog, type RecordingLog } from "../support/recording-log.ts";
import { SmtpClient } from "../support/smtp-client.ts";

let folder: string;
let log: RecordingLog;
let server: RunningServer;
let head: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-scripts-"));
  mkdirSync(join(folder, "scripts"));
  const [mx, admin] = await freePorts(2);
  head = `[[listeners]]\nname = "mx"\naddress = "127.0.0.1"\nport = ${mx}\n[admin]\nport = ${admin}\n[[routes]]\nmatch = "example.test"\nto = "hold"\n`;
  configure("");
});

afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

function configure(grants: string): void {
  writeFileSync(
    join(folder, "onarrival.toml"),
    `${head}[scripts]\nprocesses = 1\ntypes = "off"\n[scripts.grants]\n${grants}\n`,
  );
}

const load = () => loadConfig({ path: join(folder, "onarrival.toml"), env: {}, cwd: folder });

async function start(): Promise<void> {
  log = createRecordingLog();
  server = await startServer(load(), { log, loadAgain: load });
}

async function save(text: string): Promise<ScriptView> {
  writeFileSync(join(folder, "scripts", "a.ts"), text);
  await server.reload();
  return await state();
}

const ask = <Answer>(path: string, body?: unknown) =>
  askServer<Answer>({
    data: join(folder, "data"),
    cwd: folder,
    path: `/api/v1/${path}`,
    ...(body !== undefined && { method: "POST" as const, body }),
  });

const state = async () => (await ask<{ scripts: readonly ScriptView[] }>("scripts")).scripts[0]!;

async function deliver(): Promise<{ readonly code: number; readonly text: string }> {
  const client = await SmtpClient.connect(server.listeners[0]!.port);
  await client.command("MAIL FROM:<a@example.com>");
  await client.command("RCPT TO:<b@example.test>");
  await client.command("DATA");
  const reply = await client.command("Subject: x\r\n\r\nhello\r\n.");
  await client.command("QUIT");
  return reply;
}

/** Sends a message that is taken; gives what the script logged of it last, and how the queue shows it. */
async function send(): Promise<{ readonly id: string; readonly said: unknown; readonly item: QueueItemView }> {
  const { text } = await deliver();
  const id = /[0-9A-Z]{16}/.exec(text)![0];
  const { item } = await ask<{ item: QueueItemView }>(`queue/${id}`);
  return { id, said: log.of("script.logged").at(-1)?.fields.text, item };
}

const counting =
  'export const grants = { kv: true };\nexport const onArrival = async (mail, { kv, log }) => { log.info(String(await kv.increment("count"))); };\n';
const plain = 'export const onArrival = (mail, { log }) => { log.info("plain"); };\n';

test("a version waits for its approval, counts in the store, is gone back from, and each message says what ran on it", async () => {
  await start();
  const one = await save(plain);
  expect(one).toMatchObject({ state: "live", pending: null, grants: [] });
  const waiting = await save(counting);
  expect(waiting).toMatchObject({ state: "pending", version: one.version, pending: { added: ["kv"] } });
  expect((await send()).said).toBe("plain");
  const { version } = waiting.pending!;
  await ask("scripts/approve", { script: "scripts/a.ts", version, author: "ann" });
  expect(await state()).toMatchObject({ state: "live", version, grants: ["kv"] });
  expect([(await send()).said, (await send()).said]).toEqual(["1", "2"]);
  const { said, item, id } = await send();
  expect([said, item.scripts]).toEqual(["3", [{ script: "scripts/a.ts", version, event: "onArrival" }]]);
  expect(log.of("message.accepted").at(-1)!.fields).toMatchObject({
    message: id,
    scripts: [`scripts/a.ts@${version.slice(7, 19)}`],
  });
  await ask("scripts/rollback", { script: "scripts/a.ts", author: "ann" });
  expect(await state()).toMatchObject({ state: "pinned", version: one.version });
  expect((await send()).said).toBe("plain");
  await server.stop();
  await start();
  expect(await state()).toMatchObject({ state: "pinned", version: one.version, pinned: { author: "ann" } });
  await ask("scripts/unpin", { script: "scripts/a.ts" });
  expect((await send()).said).toBe("4");
});

test("a message that no script saw has no record of any", async () => {
  await start();
  const { item } = await send();
  expect(item.scripts).toEqual([]);
  expect(log.of("message.accepted").at(-1)!.fields).not.toHaveProperty("scripts");
});

test("a reload takes up what may be granted, both ways", async () => {
  configure('approval = "ceiling"');
  await start();
  expect(await save(counting)).toMatchObject({ state: "live", grants: ["kv"] });
  expect((await send()).said).toBe("1");
  configure('approval = "ceiling"\nkv = false');
  expect(await server.reload()).toEqual(["scripts.grants: other values", "scripts: read again"]);
  expect(await state()).toMatchObject({ state: "live", grants: [] });
  expect(await deliver()).toMatchObject({ code: 451 });
  expect(log.of("script.failed").at(-1)?.fields).toMatchObject({
    code: "grant.missing",
    reason: expect.stringMatching(/not allowed by/),
  });
  configure('approval = "ceiling"');
  await server.reload();
  expect((await send()).said).toBe("2");
});
