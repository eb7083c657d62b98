/** Tests beside a script as a gate of the server's registry: the version that was saved is run through them, in the sandbox it is loaded in. */
import type { Sandbox } from "../sandbox/host.ts";
import type { ScriptLimits } from "../sandbox/protocol.ts";
import type { Config } from "./config/schema.ts";
import { runTestFolder, testFolderOfScript } from "./main-test-cases.ts";
import type { TesterOptions } from "./main-test-run.ts";
import type { Gate } from "./scripting/gates.ts";
import { createTestGate } from "./scripting/test-gate.ts";

export interface TestGatePorts extends Pick<TesterOptions, "createMaker"> {
  readonly sandbox: Sandbox;
  readonly limits: ScriptLimits;
  readonly config: Pick<Config, "scripts" | "listeners">;
}

/** None where the configuration wants none. */
export function testGates({ sandbox, limits, config, ...maker }: TestGatePorts): readonly Gate[] {
  const { folder, packages, tests } = config.scripts;
  if (tests === "off") return [];
  const listeners = config.listeners.map(({ name }) => name);
  return [
    createTestGate({
      policy: tests,
      async *run({ file, compiled, exports }, isOver) {
        const found = await testFolderOfScript(file);
        if (!found) return;
        const bench = { ...maker, sandbox, limits, folder, packages, compiled, exports, listeners };
        for await (const { outcome } of runTestFolder(bench, found, isOver)) yield outcome;
      },
    }),
  ];
}
