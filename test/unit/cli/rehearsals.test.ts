/** explain, session and trace as users run them: processes, with a site of their own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExplainReport } from "../../../src/admin/explain-view.ts";
import { route } from "../../../src/cli/route.ts";
import type { CommandContext } from "../../../src/cli/terminal.ts";
import { type RunningCommand, runCommand, startCommand } from "../../support/command.ts";
import { freePorts } from "../../support/free-ports.ts";

const folder = mkdtempSync(join(tmpdir(), "onarrival-rehearsal-"));
const cwd = folder;
let port = 0;

beforeAll(async () => {
  const [smtp, admin] = await freePorts(2);
  port = smtp!;
  mkdirSync(join(folder, "scripts"));
  writeFileSync(
    join(folder, "scripts/urgent.ts"),
    'import type { ArrivalHandler } from "onarrival";\nexport const rule = "SUBJECT = urgent*";\nexport const onArrival: ArrivalHandler = (mail) => mail.refuse("Nothing is urgent");\n',
  );
  writeFileSync(
    join(folder, "onarrival.toml"),
    `[[listeners]]\nport = ${port}\n[admin]\nport = ${admin}\n[[sinks]]\nuse = "header-limit"\n[[sinks]]\nmodule = "./greet.ts"\nevents = ["onConnect", "onCommand"]\n`,
  );
  writeFileSync(
    join(folder, "greet.ts"),
    `export default {
  name: "greet",
  onConnect({ setBanner }) { setBanner("hello"); },
  onCommand({ verb, consume }) { if (verb === "XLOG") consume({ code: 250, status: "2.0.0", text: "noted" }); },
};
`,
  );
  writeFileSync(join(folder, "hello.eml"), "From: ann@example.org\nTo: bob@example.test\nSubject: Hello\n\n.dot\n");
  writeFileSync(join(folder, "urgent.eml"), "From: ann@example.org\nTo: bob@example.test\nSubject: urgent!\n\nbody\n");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("onarrival session", () => {
  test("plays what a file says, with each decision where it was made, and queues nothing", async () => {
    const stdin = [
      "XLOG something",
      "MAIL FROM:<ann@example.org>",
      "RCPT TO:<x@elsewhere.example>",
      "RCPT TO:<bob@example.test>",
      "DATA",
      "Subject: urgent news",
      "",
      "..dot",
      ".",
      "QUIT",
      "",
    ].join("\n");
    const { status, out, err } = await runCommand(["session", "--helo", "client.example.org"], { cwd, stdin });
    expect(err).toBe("");
    expect(status).toBe(0);
    const lines = out.split("\n");
    expect(lines[0]).toBe("   ↳ onConnect sinks/greet#onConnect: banner hello");
    expect(lines[1]).toMatch(/^S: 220 \S+ hello$/);
    expect(lines).toContain("C: EHLO client.example.org");
    expect(out).toContain(
      "C: XLOG something\n   ↳ onCommand sinks/greet#onCommand: consume 250 2.0.0 noted\nS: 250 2.0.0 noted\n",
    );
    expect(out).toContain(
      "server/relay-control#onRcptTo: refuse 550 5.7.1 We do not relay\nS: 550 5.7.1 We do not relay\n",
    );
    expect(out).toContain(
      "scripts/urgent.ts#onArrival: refuse 550 5.7.1 Nothing is urgent\nS: 550 5.7.1 Nothing is urgent\n",
    );
    expect(lines.at(-2)).toMatch(/^S: 221 /);
  });

  test("goes on with a message that was taken, and says where it would go", async () => {
    const stdin = "MAIL FROM:<ann@example.org>\nRCPT TO:<bob@example.test>\nDATA\n\nhello\n.\nQUIT\n";
    const { out } = await runCommand(["session", "--helo", "client.example.org"], { cwd, stdin });
    const lines = out.split("\n");
    const told = lines.slice(lines.findIndex((line) => line.startsWith("S: 250 2.0.0 queued as ")) + 1);
    expect(told.slice(0, told.indexOf("C: QUIT"))).toEqual([
      "   ↳ onCategorize server/categorizer#onCategorize: resolve as local",
      "   ↳ onPostCategorize server/dkim-sign#onPostCategorize: proceed",
      "   ↳ onRoute server/router#onRoute: route to maildir",
      "   ↳ onLocalDelivery server/local-delivery#onLocalDelivery: proceed",
      "   bob@example.test would be delivered to maildir by local domain",
    ]);
  });

  test("masks what a client logs in with, and prints objects with --json", async () => {
    const stdin = "AUTH PLAIN AGFubgBzZWNyZXQ=\nQUIT\n";
    const { out } = await runCommand(["session", "--tls", "--json"], { cwd, stdin });
    expect(out).not.toContain("AGFubgBzZWNyZXQ=");
    const entries = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; session: string });
    expect(entries.map(({ kind }) => kind)).toContain("decision");
    expect(new Set(entries.map(({ session }) => session)).size).toBe(1);
  });

  test("ends with its input, and says what is wrong with a flag", async () => {
    expect(await runCommand(["session"], { cwd, stdin: "EHLO x\n" })).toMatchObject({ status: 0 });
    expect(await runCommand(["session", "--ip", "nowhere"], { cwd })).toMatchObject({ status: 2 });
  });
});

describe("onarrival trace", () => {
  test("says what is wrong with a pattern, and nothing of following where no server runs", async () => {
    const { status, err } = await runCommand(["trace", "--client", "abc"], { cwd });
    expect(status).toBe(2);
    expect(err).toMatch(/^onarrival: --client abc: expected an IP address/);
    const alone = await runCommand(["trace"], { cwd });
    expect(alone.status).toBe(3);
    expect(alone.err).not.toContain("Following");
  });
});

describe("onarrival explain", () => {
  test("needs no server with --offline, and asks one without it", async () => {
    const { status, err } = await runCommand(["explain", "hello.eml"], { cwd });
    expect(status).toBe(3);
    expect(err).toContain("--offline explains with what the files say");
    const offline = await runCommand(["explain", "hello.eml", "--offline", "--json"], { cwd });
    expect(offline.status).toBe(0);
    const report = JSON.parse(offline.out) as ExplainReport & { file: string };
    expect(report).toMatchObject({ file: "hello.eml", result: "accepted", live: false, from: "ann@example.org" });
    const [arrival] = report.events.filter(({ event }) => event === "onArrival");
    expect(arrival!.bindings.map(({ name, outcome }) => [name, outcome])).toEqual([
      ["scripts/urgent.ts", "rule"],
      ["loop-guard", "asked"],
    ]);
  });

  test("tells where the mail would go", async () => {
    const { out } = await runCommand(["explain", "hello.eml", "--offline"], { cwd });
    expect(out).toMatch(/^ {2}bob@example\.test +delivered +maildir +local domain$/m);
  });

  test("says which file is not there", async () => {
    const { status, err } = await runCommand(["explain", "nothing.eml", "--offline"], { cwd });
    expect(status).toBe(2);
    expect(err).toContain("Cannot read nothing.eml");
  });
});

describe("onarrival route", () => {
  const written: string[] = [];
  const output = { write: (text: string) => void written.push(text), paint: (_style: string, text: string) => text };
  const context = { terminal: { out: output, err: output, columns: 80 }, env: {}, cwd } as unknown as CommandContext;

  test("needs no server with offline, and asks one without it", async () => {
    await expect(route(["bob@example.test"], {}, context)).rejects.toThrow("--offline routes by what the files say");
    expect(await route(["bob@example.test"], { offline: true }, context)).toBe(0);
    expect(written.join("").split("\n")).toEqual([
      "bob@example.test",
      "├─ resolve as local  by local domain",
      "└─ maildir  by local domain  destination local",
      "",
    ]);
    // Without a smarthost what is somebody else's is held.
    expect(await route(["x@elsewhere.example"], { offline: true, json: true }, context)).toBe(1);
    expect(JSON.parse(written.at(-1)!)).toMatchObject({ error: "held: no smarthost is configured" });
  });
});

describe("with a running server", () => {
  let server: RunningCommand;
  beforeAll(async () => {
    server = startCommand(["serve"], { cwd });
    await server.until("is running");
  });
  afterAll(async () => {
    server.child.kill("SIGTERM");
    await server.ended;
  });

  test("explain tells what the server would do with its bindings of this moment", async () => {
    const id = "scripts/urgent.ts#onArrival";
    const { out } = await runCommand(["explain", "urgent.eml"], { cwd });
    expect(out).toContain("refuse 550 5.7.1 Nothing is urgent");
    expect(out).toMatch(/refused {2}550 5\.7\.1 Nothing is urgent/);
    expect(await runCommand(["bindings", "disable", id], { cwd })).toMatchObject({ status: 0 });
    const after = await runCommand(["explain", "urgent.eml"], { cwd });
    expect(after.out).toMatch(/scripts\/urgent\.ts +script +disabled/);
    expect(after.out).toMatch(/^accepted {2}250/m);
    await runCommand(["bindings", "enable", id], { cwd });
  });

  test("trace shows the sessions it was asked for, from their beginning, and nothing of others", async () => {
    const trace = startCommand(["trace", "--to", "bob@*"], { cwd });
    await trace.until("Following RCPT TO = bob@*");
    // The request is on its way when that is said.
    await waitForFollower(trace);
    await converse(["EHLO a", "MAIL FROM:<x@example.org>", "RCPT TO:<eve@example.test>", "QUIT"]);
    await converse(["EHLO b", "MAIL FROM:<x@example.org>", "RCPT TO:<bob@example.test>", "QUIT"]);
    await trace.until("RCPT TO:<bob@example.test>");
    await trace.until("closed: quit");
    trace.child.kill("SIGINT");
    const { out, status } = await trace.ended;
    expect(status).toBe(130);
    expect(out).toContain("C: EHLO b");
    expect(out).toContain("server/relay-control#onRcptTo: proceed");
    expect(out).not.toContain("eve@example.test");
  });

  async function waitForFollower(trace: RunningCommand): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      await converse(["EHLO probe", "MAIL FROM:<>", "RCPT TO:<bob@example.test>", "QUIT"]);
      const seen = await Promise.race([
        trace.until("EHLO probe").then(() => true),
        new Promise<boolean>((resolve) => setTimeout(resolve, 100, false)),
      ]);
      if (seen) return;
    }
    throw new Error("the trace never began");
  }
});

/** One session, command by command. */
function converse(commands: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const rest = [...commands];
    let heard = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      heard += text;
      if (!/^\d{3} [^\n]*\n$/m.test(heard.slice(heard.lastIndexOf("\n", heard.length - 2) + 1))) return;
      heard = "";
      const next = rest.shift();
      if (next !== undefined) socket.write(`${next}\r\n`);
    });
    socket.on("error", reject);
    socket.on("close", () => resolve());
  });
}
