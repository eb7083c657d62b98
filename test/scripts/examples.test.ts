/** The example scripts, each on the messages beside it, through the command users run. */
import { execFile } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";

const launcher = "src/cli/launch.mjs";
const scripts = globSync("scripts/*.ts").sort();

test("there are seven of them, each under 30 lines and with messages beside it", () => {
  expect(scripts.length).toBeGreaterThanOrEqual(7);
  for (const script of scripts) {
    expect(readFileSync(script, "utf8").split("\n").length, script).toBeLessThan(30);
    expect(globSync(`${script.replace(/\.ts$/, ".test")}/*.eml`).length, script).toBeGreaterThan(0);
  }
});

describe.each(scripts)("%s", (script) => {
  const messages = globSync(`${script.replace(/\.ts$/, ".test")}/*.eml`).sort();
  test.concurrent.each(messages.map((message) => [basename(message), message] as const))(
    "does what is expected of it with %s",
    async (_name, message) => {
      const expected = join(dirname(message), `${basename(message, ".eml")}.expected.json`);
      expect(existsSync(expected), `${expected} is missing`).toBe(true);
      const words = [launcher, "test", script, message, "--expect", expected, "--color", "never"];
      const run = await new Promise<{ status: number; output: string }>((resolve) => {
        const child = execFile(process.execPath, words, (_error, stdout, stderr) =>
          resolve({ status: child.exitCode ?? -1, output: stdout + stderr }),
        );
      });
      expect(run.output).toContain(basename(message));
      expect(run.status, run.output).toBe(0);
    },
  );
});
