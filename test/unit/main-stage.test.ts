/** The stage of a rehearsal asks the name servers that the configuration names, as the server would. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { startFakeDnsServer } from "../support/fake-dns-server.ts";

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

describe("openStage", () => {
  test("gives sinks a resolver over dns.servers", async () => {
    const server = await startFakeDnsServer({ a: { "9.113.0.203.list.test": ["127.0.0.2"] } });
    const cwd = mkdtempSync(join(tmpdir(), "onarrival-stage-"));
    stops.push(
      () => server.close(),
      () => rmSync(cwd, { recursive: true, force: true }),
    );
    mkdirSync(join(cwd, "scripts"));
    writeFileSync(
      join(cwd, "onarrival.toml"),
      `[dns]\nservers = ["${server.address}"]\n[[sinks]]\nuse = "dnsbl"\nproperties = { zones = ["list.test"] }\n`,
    );
    const stdin = "MAIL FROM:<ann@example.org>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<bob@localhost>\r\nQUIT\r\n";
    const { out, err } = await runCommand(["session", "--ip", "203.0.113.9", "--helo", "client.test"], { cwd, stdin });
    expect(err).toBe("");
    expect(out).toContain("Your address is listed");
    expect(server.questions).toContain("A 9.113.0.203.list.test");
  });
});
