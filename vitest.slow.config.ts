/** What `npm run test:slow` runs: whole sites started as users start them, killed, traced and fed real mail. One file at a time: they measure and load. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/crash/**/*.test.ts", "test/real-mail/**/*.test.ts", "test/interop/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    disableConsoleIntercept: true,
  },
});
