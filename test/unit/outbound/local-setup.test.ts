import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { LocalHop } from "../../../src/outbound/local.ts";
import { createLocal, type Local, type LocalSettings } from "../../../src/outbound/local-setup.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { startHttpProgram } from "./http-server.ts";
import { eventsWith, recipientsOf, scripted } from "./smtp-setup.ts";

let root = "";
let clock: FakeClock;
let local: Local;
const settings: LocalSettings = {
  mailboxOctetsMax: 0,
  drop: { octetsMax: 0, retentionMs: 0 },
  http: { secret: null, timeoutMs: 10_000 },
};
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "local-setup-"));
  clock = createFakeClock();
  local = createLocal({
    events: eventsWith({}),
    log: silentLog,
    clock,
    quarantine: async () => {},
    settings,
    maildirRoot: join(root, "mail"),
    dropFolder: join(root, "drop"),
    hostName: "mail.example.test",
    connectionsMax: 2,
  });
});
afterEach(async () => {
  await local.close();
  await rm(root, { recursive: true, force: true });
});

function deliver(hop: LocalHop) {
  const message = createSampleMessage();
  return local.deliver({ hop, message, recipients: recipientsOf(message), attemptId: "A1" });
}

test("createLocal: each next hop has its way, and other settings hold from the next delivery on", async () => {
  const program = await startHttpProgram((response) => void response.end());
  const http: LocalHop = { kind: "http", url: program.url };
  expect(await deliver(http)).toMatchObject([{ kind: "delivered", nextHop: program.url }]);
  expect(await deliver({ kind: "maildir" })).toMatchObject([{ kind: "delivered" }]);
  expect(await deliver({ kind: "drop" })).toMatchObject([{ kind: "delivered" }]);
  local.reconfigure({
    mailboxOctetsMax: 10,
    drop: { octetsMax: 10, retentionMs: 60_000 },
    http: { secret: "s3cret", timeoutMs: 10_000 },
  });
  expect(await deliver({ kind: "maildir" })).toMatchObject([{ kind: "failed", status: "5.2.3" }]);
  expect(await deliver({ kind: "drop" })).toMatchObject([{ kind: "deferred", status: "4.3.1" }]);
  await deliver(http);
  expect(program.seen.map(({ headers }) => headers["onarrival-signature"] !== undefined)).toEqual([false, true]);
  await program.close();
});

test("createLocal: LMTP says our name", async () => {
  const peer = await scripted((line) => (line === "" ? "220 here" : "550 no"));
  await deliver({ kind: "lmtp", server: { host: "127.0.0.1", port: peer.port } });
  expect(peer.lines[0]).toBe("LHLO mail.example.test");
});

test("createLocal: start removes what is too old in the drop folder", async () => {
  await deliver({ kind: "drop" });
  const [name] = await readdir(join(root, "drop"));
  await utimes(join(root, "drop", name!), new Date(0), new Date(0));
  local.reconfigure({ ...settings, drop: { octetsMax: 0, retentionMs: 60_000 } });
  local.start();
  await clock.advance(0);
  await local.close();
  expect(await readdir(join(root, "drop"))).toEqual([]);
});
