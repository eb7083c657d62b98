/** The example scripts, each on the messages beside it, through the command users run. */
import { spawnSync } from "node:child_process";
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
  test.concurrent.each(messages.map((message) => [basename(message), message] as const))("does what is expected of it with %s", (_name, message) => {
    const expected = join(dirname(message), `${basename(message, ".eml")}.expected.json`);
    expect(existsSync(expected), `${expected} is missing`).toBe(true);
    const run = spawnSync(process.execPath, [launcher, "test", script, message, "--expect", expected, "--color", "never"], { encoding: "utf8" });
    expect(`${run.stdout}${run.stderr}`, `exit status ${run.status}`).not.toBe("");
    expect(run.status, run.stdout + run.stderr).toBe(0);
  });
});
