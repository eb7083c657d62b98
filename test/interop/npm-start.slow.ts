/** The default site: `npm start` and nothing else gives a server that takes and delivers a first message, and ends when told to. */
import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { freePorts } from "../support/free-ports.ts";
import { processesBelow, waitFor } from "../support/site.ts";
import { expectReply, SmtpClient } from "../support/smtp-client.ts";

const root = resolve(import.meta.dirname, "../..");
const data = mkdtempSync(join(tmpdir(), "onarrival-start-"));
afterAll(() => rmSync(data, { recursive: true, force: true, maxRetries: 5 }));

test("npm start says where everything is, delivers a first message through the example scripts, and drains on SIGTERM", async () => {
  const [smtpPort, adminPort] = await freePorts(2);
  const npm = spawn("npm", ["start"], {
    cwd: root,
    // The default site in every way but those that would touch the tree or a port in use.
    env: {
      ...process.env,
      ONARRIVAL_DATA: data,
      ONARRIVAL_SMTP_PORT: String(smtpPort),
      ONARRIVAL_ADMIN_PORT: String(adminPort),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<void>((done) => npm.once("exit", () => done()));
  let words = "";
  npm.stdout.on("data", (chunk: Buffer) => (words += chunk.toString()));
  npm.stderr.on("data", (chunk: Buffer) => (words += chunk.toString()));
  try {
    await waitFor(
      () => {
        if (npm.exitCode !== null) throw new Error(`npm start ended with ${npm.exitCode}:\n${words}`);
        return words.includes(String(smtpPort)) && words.includes(data) ? words : undefined;
      },
      "the lines that say where everything is",
      20_000,
    );
    const client = await waitForGreeting(smtpPort!);
    const sent =
      "From: <ada@example.test>\r\nTo: <grace@example.test>\r\nSubject: first\r\nMessage-ID: <first@client.example>\r\n\r\nHello.\r\n";
    expectReply(
      await client.send({ from: "ada@example.test", to: ["grace@example.test"], data: Buffer.from(sent) }),
      250,
    );
    await client.quit();
    const file = await waitFor(
      () => globSync(join(data, "mail/example.test/*/new/*"))[0],
      "the message in a Maildir",
      10_000,
    );
    expect(readFileSync(file, "latin1")).toMatch(/^Message-ID: <first@client\.example>\r$/m);

    const server = processesBelow(npm.pid!).find(({ command }) => /^\S*node\S* .*launch\.mjs serve/.test(command));
    process.kill(server!.pid, "SIGTERM");
    await waitFor(() => (npm.exitCode ?? npm.signalCode) !== null || undefined, "the end of the server", 10_000);
    expect(npm.exitCode).toBe(0);
  } finally {
    for (const { pid, command } of npm.exitCode === null ? processesBelow(npm.pid!) : [])
      if (command.includes("launch.mjs")) process.kill(pid, "SIGKILL");
    await exited;
  }
});

async function waitForGreeting(port: number): Promise<SmtpClient> {
  for (const deadline = performance.now() + 10_000; ; ) {
    try {
      return await SmtpClient.connect(port);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}
