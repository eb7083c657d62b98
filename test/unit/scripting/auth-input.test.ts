/** What a script sees of SPF, DKIM, DMARC and ARC; the example for it on messages that were checked, which `onarrival test` does not have. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { defaultLimits } from "../../../sandbox/protocol.ts";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { AuthFacts } from "../../../src/mail/auth-facts.ts";
import { Message } from "../../../src/mail/message.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { ScriptRegistry } from "../../../src/scripting/registry.ts";
import { createScriptRunner } from "../../../src/scripting/runner.ts";
import { VersionStore } from "../../../src/scripting/versions.ts";
import { nothingPassed } from "../../support/rule-facts.ts";
import { createSampleMessage } from "../../support/sample-message.ts";

const place = mkdtempSync(join(tmpdir(), "onarrival-auth-input-"));
const folder = join(place, "scripts");
let sandbox: Sandbox;
let registry: ScriptRegistry;
let dispatcher: Dispatcher;

beforeAll(async () => {
  mkdirSync(folder);
  cpSync("scripts/dmarc-policy.ts", join(folder, "dmarc-policy.ts"));
  writeFileSync(
    join(folder, "seen.ts"),
    `export const priority = 1;
     export const onArrival = (mail) => {
       const { auth } = mail.session;
       let frozen = false;
       try { auth.dkim[0].result = "pass"; } catch { frozen = true; }
       mail.headers.set("X-Seen", auth === null ? "null" : JSON.stringify([auth.spf.result, auth.dkim.map((one) => one.domain), frozen]));
     };`,
  );
  sandbox = await Sandbox.start({ processes: 1 });
  const scripts = createScriptRunner({ sandbox, limits: defaultLimits, log: silentLog });
  dispatcher = new Dispatcher({ log: silentLog, clock: systemClock, scripts });
  registry = new ScriptRegistry({
    versions: new VersionStore({ folder: join(place, "versions"), versionsMax: () => 100, log: silentLog }),
    folder,
    sandbox,
    limits: defaultLimits,
    clock: systemClock,
    log: silentLog,
    bind: (bindings, released) => dispatcher.replaceBindings(bindings, released),
  });
  await registry.start();
});

afterAll(async () => {
  await registry.stop();
  await sandbox.close();
  await stopCompiler();
  rmSync(place, { recursive: true });
});

async function arrive(auth: AuthFacts | undefined) {
  const plain = createSampleMessage();
  const origin = auth === undefined ? plain.origin : { ...plain.origin, auth };
  const message = new Message({ ...plain.snapshot(), id: plain.id, receivedAt: plain.receivedAt, origin });
  const verdict = await dispatcher.ask("onArrival", { message });
  return { verdict, seen: message.header.get("X-Seen") };
}

const failing = (policy: AuthFacts["dmarc"]["policy"]): AuthFacts => ({
  ...nothingPassed,
  dkim: [
    {
      result: "fail",
      domain: "sender.example",
      selector: "s",
      algorithm: "",
      signature: "",
      aligned: false,
      reason: "",
    },
  ],
  dmarc: { result: "fail", domain: "sender.example", policy, alignedBy: [], reason: "" },
});

describe("mail.session.auth", () => {
  test("has the results, which cannot be changed; null where the message was not checked", async () => {
    expect((await arrive(failing("none"))).seen).toBe('["none",["sender.example"],true]');
    expect((await arrive(undefined)).seen).toBe("null");
  });
});

describe("scripts/dmarc-policy.ts", () => {
  const sealed = (sealer: string): AuthFacts => ({
    ...failing("reject"),
    arc: { result: "pass", sealers: ["x.example", sealer] },
  });
  const rows: readonly [why: string, auth: AuthFacts | undefined, kind: string][] = [
    ["the domain asks to refuse", failing("reject"), "refuse"],
    ["the domain asks to set apart", failing("quarantine"), "quarantine"],
    ["the domain only watches", failing("none"), "proceed"],
    ["nothing failed", nothingPassed, "proceed"],
    ["sealed by a list we trust", sealed("lists.example.net"), "proceed"],
    ["sealed by somebody", sealed("lists.example.com"), "refuse"],
    ["not checked", undefined, "proceed"],
  ];
  test.each(rows)("%s", async (_why, auth, kind) => {
    expect((await arrive(auth)).verdict.kind).toBe(kind);
  });
});
