/** A file that several scripts import: a save of it makes all of them new. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { defaultLimits } from "../../../sandbox/protocol.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { ScriptRegistry } from "../../../src/scripting/registry.ts";

afterAll(() => stopCompiler());

it("ScriptRegistry loads every user of a file that was saved, directly or through another, and nobody else", async () => {
  const place = mkdtempSync(join(tmpdir(), "onarrival-shared-"));
  const folder = join(place, "scripts");
  mkdirSync(join(folder, "lib"), { recursive: true });
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const uses = (file: string) =>
    `import { word } from "${file}";\nexport const onArrival = (mail) => { mail.subject = word; };\n`;
  write("lib/words.ts", 'export const word = "one";\n');
  write("lib/through.ts", 'export { word } from "./words.ts";\n');
  write("a.ts", uses("./lib/words.ts"));
  write("b.ts", uses("./lib/through.ts"));
  write("c.ts", "export const onArrival = () => {};\n");
  const sandbox = await Sandbox.start({ processes: 1 });
  const registry = new ScriptRegistry({
    folder,
    sandbox,
    limits: defaultLimits,
    clock: systemClock,
    log: silentLog,
    bind: () => {},
  });
  const versions = () => registry.states().map(({ live }) => live?.version);
  try {
    await registry.start();
    const before = versions();
    write("lib/words.ts", 'export const word = "two";\n');
    await expect.poll(() => versions().filter((version, index) => version !== before[index]).length).toBe(2);
    const after = versions();
    expect(after.map((version, index) => version !== before[index])).toEqual([true, true, false]);
  } finally {
    await registry.stop();
    await sandbox.close();
    rmSync(place, { recursive: true });
  }
});
