/** The program of a sandbox process: made once beside the sources, and then the one that is started. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { childProgram, childProgramMade, guestFile } from "../../../sandbox/child-program.ts";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { createScriptFolder, messageOf, runScript } from "../../support/scripts.ts";

afterAll(stopCompiler);

test("childProgram is the sources until it is made, and runs scripts", async () => {
  const first = childProgram();
  await childProgramMade();
  const made = childProgram();
  expect(first === made || first.endsWith(join("sandbox", "child.ts"))).toBe(true);
  expect(made).toMatch(/sandbox-[0-9a-f]{24}\/child\.mjs$/);
  expect(existsSync(join(made, "..", guestFile))).toBe(true);
  const folder = await createScriptFolder();
  const sandbox = await Sandbox.start({ processes: 1 });
  try {
    const result = await runScript(
      { sandbox, folder },
      'export const onArrival = async (mail, { log }) => log.info(new URL("https://example.org/a").pathname, (await mail.text()).trim());\n',
      messageOf("Subject: x\n\nHello.\n"),
    );
    expect(result.log[0]?.text).toBe("/a Hello.");
  } finally {
    await sandbox.close();
    await folder.remove();
  }
});
