/** The command line as a process: what it prints where, and how it ends. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { version } from "../../../src/version.ts";
import { runCommand, startCommand } from "../../support/command.ts";

const cwd = mkdtempSync(join(tmpdir(), "cli-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const run = (...args: string[]) => runCommand(args, { cwd });

describe("onarrival", () => {
  test.each<[why: string, args: string[], status: number, out: RegExp, err: RegExp]>([
    ["prints its version", ["--version"], 0, new RegExp(`^${version.replaceAll(".", "\\.")}\n$`), /^$/],
    [
      "prints its help without arguments, examples first",
      [],
      0,
      /^Examples:\n {2}onarrival init mysite[\s\S]*Usage: onarrival[\s\S]*Exit status:/,
      /^$/,
    ],
    ["prints the help of a verb", ["test", "--help"], 0, /^Examples:\n {2}onarrival test[\s\S]*--expect <file>/, /^$/],
    [
      "prints the help of a verb of a group",
      ["help", "queue"],
      0,
      /list \[options\][\s\S]*show \[options\] <id>/,
      /^$/,
    ],
    [
      "names the verb that was meant",
      ["tset"],
      2,
      /^$/,
      /^onarrival: unknown command 'tset'\n\(Did you mean test\?\)\n$/,
    ],
    ["names the verb of a group that was meant", ["queue", "lst"], 2, /^$/, /\(Did you mean list\?\)/],
    [
      "names the flag that was meant",
      ["config", "show", "--orgin"],
      2,
      /^$/,
      /^onarrival: unknown option '--orgin'\n\(Did you mean --origin\?\)\n$/,
    ],
    ["wants a verb behind a group", ["queue"], 2, /^$/, /^Usage: onarrival queue/],
    ["wants a flag's value", ["serve", "--data"], 2, /^$/, /argument missing/],
    [
      "has no other colour modes",
      ["--color", "some", "config", "check"],
      2,
      /^$/,
      /Allowed choices are auto, always, never/,
    ],
    ["wants KEY=VALUE", ["config", "check", "--set", "nothing"], 2, /^$/, /Cannot set "nothing": expected KEY=VALUE/],
    [
      "says in one line that no server runs",
      ["queue", "list"],
      3,
      /^$/,
      /^onarrival: No server is running \(no answer on data\/control\.sock\)\nStart it with onarrival serve, .*\n$/,
    ],
    ["says so for scripts", ["scripts", "list"], 3, /^$/, /No server is running/],
    ["says so for bindings", ["bindings", "list", "--json"], 3, /^$/, /No server is running/],
    ["says so for one message", ["queue", "show", "X"], 3, /^$/, /No server is running/],
    [
      "says which configuration file is not there",
      ["serve", "--config", "none.toml"],
      2,
      /^$/,
      /^onarrival: Cannot read the configuration .*none\.toml: no such file\n$/,
    ],
    ["wants a message to test with", ["test", "x.ts"], 2, /^$/, /There is no message to test with/],
    ["wants a place to write an expectation to", ["test", "x.ts", "x.eml", "--update"], 2, /^$/, /--expect FILE where/],
  ])("%s", async (_why, args, status, out, err) => {
    const result = await run(...args);
    expect({ ...result, out: out.test(result.out) || result.out, err: err.test(result.err) || result.err }).toEqual({
      status,
      out: true,
      err: true,
    });
  });

  test("tells every error of a configuration, in whatever verb meets it", async () => {
    writeFileSync(join(cwd, "bad.toml"), 'dta = "x"\n[log]\nlevel = "loud"\n');
    const lines = [
      `${join(cwd, "bad.toml")}:1:1: dta: unknown key "dta"; did you mean "data"?`,
      `${join(cwd, "bad.toml")}:3:1: log.level: expected "debug" or "info" or "warn" or "error", found "loud"`,
    ].join("\n");
    expect(await run("serve", "--config", "bad.toml")).toEqual({
      status: 2,
      out: "",
      err: `${lines}\nonarrival: the configuration has 2 errors; nothing was started\n`,
    });
    expect(await run("config", "check", "--config", "bad.toml")).toEqual({
      status: 2,
      out: `${lines}\n`,
      err: "2 errors\n",
    });
    const { out, status } = await run("config", "check", "--config", "bad.toml", "--json");
    expect(status).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      problems: [
        { line: 1, column: 1, key: "dta", nearest: "data" },
        { line: 3, key: "log.level" },
      ],
    });
  });

  test("config show tells who won, for people and for programs", async () => {
    const options = { cwd, env: { ONARRIVAL_SMTP_PORT: "2600" } };
    const text = await runCommand(["config", "show", "--origin", "--set", "log.level=warn"], options);
    expect(text.out).toMatch(/^port = 2600 +# environment$/m);
    expect(text.out).toMatch(/^level = "warn" +# flag$/m);
    const json = JSON.parse((await runCommand(["config", "show", "--json"], options)).out) as {
      file: null;
      options: unknown[];
    };
    expect(json.options).toContainEqual({
      key: "listeners.mx.port",
      value: 2600,
      origin: "environment",
      environment: "ONARRIVAL_LISTENERS_MX_PORT",
    });
  });

  test("config schema prints JSON", async () => {
    expect(JSON.parse((await run("config", "schema")).out)).toMatchObject({ title: "onarrival.toml", type: "object" });
  });

  test("config check tries what the configuration names, once that itself is right", async () => {
    const site = join(cwd, "named");
    mkdirSync(site);
    writeFileSync(
      join(site, "onarrival.toml"),
      '[[listeners]]\ntls = { cert = "no.pem", key = "no.pem" }\n[[sinks]]\nuse = "greylst"\n[[sinks]]\nmodule = "./nope.ts"\nevent = "onHelo"\n',
    );
    const { status, out, err } = await runCommand(["config", "check"], { cwd: site });
    const file = join(site, "onarrival.toml");
    expect(out.split("\n")).toEqual([
      expect.stringContaining(`${file}: listeners.mx: Cannot read the certificate ${join(site, "no.pem")}`),
      expect.stringContaining(`${file}: scripts.folder: Cannot use the scripts folder`),
      expect.stringMatching(/sinks\.0 \(greylst\): .*did you mean greylist\?$/),
      expect.stringMatching(/sinks\.1 \(nope\.ts\): Cannot load .*Cannot find module '[^']*nope\.ts'$/),
      "",
    ]);
    expect([status, err]).toEqual([2, "4 errors\n"]);
  });

  test("colours only where they are asked for", async () => {
    mkdirSync(join(cwd, "scripts"), { recursive: true });
    const asked = await runCommand(["--color=always", "config", "check"], { cwd });
    const forced = await runCommand(["config", "check"], { cwd, env: { FORCE_COLOR: "1" } });
    const refused = await runCommand(["--color=never", "config", "check"], { cwd, env: { FORCE_COLOR: "1" } });
    expect([asked.out, forced.out, refused.out].map((out) => out.includes("\u001b["))).toEqual([true, true, false]);
    expect((await run("config", "check")).out).not.toContain("\u001b[");
  });

  test("does not mind a reader that has seen enough", () => {
    const script = `${JSON.stringify(process.execPath)} ${JSON.stringify(join(import.meta.dirname, "../../../src/cli/launch.mjs"))} config schema | head -1; echo "status \${PIPESTATUS[0]}"`;
    expect(execFileSync("bash", ["-c", script], { cwd, encoding: "utf8" })).toMatch(/^\{\nstatus 0\n$/);
  });
});

describe("launch.mjs", () => {
  /** A Node of another major version, where the machine has one. */
  const other = (process.env.PATH ?? "")
    .split(":")
    .map((folder) => join(folder, "node"))
    .find(
      (path) =>
        existsSync(path) &&
        !execFileSync(path, ["-p", "process.versions.node"], { encoding: "utf8" }).startsWith(
          `${process.versions.node.split(".")[0]}.`,
        ),
    );
  const withOther = other === undefined ? test.skip : test;
  if (other === undefined)
    process.stderr.write("\nNOT RUN: launch.mjs under another Node: there is no other Node on PATH\n\n");

  withOther("hands over to the pinned Node, arguments, output and exit status included", async () => {
    const result = await runCommand(["queue", "list"], { cwd, node: other! });
    expect(result).toEqual({
      status: 3,
      out: "",
      err: expect.stringMatching(
        /^onarrival: No server is running \(no answer on data\/control\.sock\)\nStart it .*\n$/,
      ),
    });
  });

  withOther("says in one line what to do where the pinned Node is not installed", async () => {
    const lonely = join(cwd, "lonely/src/cli/launch.mjs");
    cpSync(join(import.meta.dirname, "../../../src/cli/launch.mjs"), lonely);
    const result = await runCommand(["--version"], { cwd, node: other!, launcher: lonely });
    expect(result.status).toBe(2);
    expect(result.out).toBe("");
    expect(result.err).toMatch(/^onarrival: needs Node 26, this is [\d.]+: .*\n$/);
    expect(result.err).toMatch(/npm ci|install Node 26/);
  });

  withOther("passes signals on, and one stops the server once", async () => {
    const server = startCommand(
      ["serve", "--data", "handed", "--smtp-port", "0", "--admin-port", "0", "--scripts", "."],
      { cwd, node: other! },
    );
    await server.until("is running.");
    server.child.kill("SIGTERM");
    const result = await server.ended;
    expect(result.status).toBe(0);
    expect(result.out).toContain('"event":"server.stopped"');
  });
});

describe("onarrival init", () => {
  const site = join(cwd, "site");
  beforeAll(async () => {
    expect((await run("init", "site")).status).toBe(0);
  });

  test("makes a configuration that holds, scripts that can run, and a sample that they run on", async () => {
    expect((await runCommand(["config", "check"], { cwd: site })).status).toBe(0);
    expect(await runCommand(["scripts", "check"], { cwd: site })).toMatchObject({ status: 0, err: "2 of 2 can run\n" });
    const tested = await runCommand(["test", "scripts/tag-external.ts", "samples/hello.eml"], { cwd: site });
    expect(tested.status).toBe(0);
    expect(tested.out).toContain("+ Subject: [external] Hello");
  });

  test("makes a tsconfig with which the scripts type-check", () => {
    const compiler = join(import.meta.dirname, "../../../node_modules/typescript/bin/tsc");
    expect(execFileSync(process.execPath, [compiler, "-p", site], { encoding: "utf8" })).toBe("");
  });

  test("says how to go on from any folder: the file that was started, as the name is not on PATH", async () => {
    const { err } = await run("init", "other site");
    expect(err).toMatch(/^ {2}cd 'other site'$/m);
    expect(err).toMatch(/^ {2}node \S*\/src\/cli\/launch\.mjs serve$/m);
  });

  test("says in one line that a file is where the folder was to be", async () => {
    writeFileSync(join(cwd, "taken"), "");
    const { status, err } = await run("init", "taken");
    expect(status).toBe(2);
    expect(err).toMatch(/^onarrival: Cannot make a site in .*taken: .*\nName another folder: onarrival init DIR\n$/);
  });

  test("overwrites nothing, and then writes nothing at all", async () => {
    rmSync(join(site, "samples"), { recursive: true });
    writeFileSync(join(site, "onarrival.toml"), "# mine\n");
    const result = await run("init", "site");
    expect(result.status).toBe(2);
    expect(result.err).toContain("onarrival.toml, scripts/tag-external.ts");
    expect(readFileSync(join(site, "onarrival.toml"), "utf8")).toBe("# mine\n");
    expect(existsSync(join(site, "samples"))).toBe(false);
  });
});
