/** What `npx vitest run` runs: everything that ends within two minutes. Slow suites end in `.slow.ts` and are named on the command line. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Isolates and child processes want processes of their own; worker threads share too much.
    pool: "forks",
    // A test that was left alone, or a suite without tests, must not look like success.
    allowOnly: false,
    maxWorkers: 2,
    passWithNoTests: false,
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
});
