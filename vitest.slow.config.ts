/**
 * What `npm run test:slow` runs: suites that end in `.slow.ts`. They start whole sites as users do, kill them, trace them, and send them real mail;
 * one file at a time, because they load the machine.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.slow.ts"],
    pool: "forks",
    fileParallelism: false,
    allowOnly: false,
    passWithNoTests: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Counts and tables are results: they go out as they come.
    disableConsoleIntercept: true,
  },
});
