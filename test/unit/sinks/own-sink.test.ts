/** A sink of somebody's own, in a folder that knows nothing of this repository: what docs/native-sinks.md and the template say is true under plain Node. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "own-sink-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** Loads a module as the server would, asks it about a message of four words, and gives the verdict, or why it is broken. */
const program = `
import { SinkLoader } from ${JSON.stringify(join(root, "src/sinks/load-sinks.ts"))};
import { createMessage } from ${JSON.stringify(join(root, "test/support/events.ts"))};
import { createPorts, context } from ${JSON.stringify(join(root, "test/unit/sinks/subjects.ts"))};
const [binding] = await new SinkLoader(createPorts()).load([{
  module: process.argv[1], events: ["onArrival"], priority: 1, rule: null, enabled: true, onFault: "defer", maxFirings: 0, properties: { wordsMax: 3 },
}]);
const { target } = binding;
const answer = target.kind === "native" ? target.handler({ message: createMessage("Subject: one two three four\\n\\n") }, context) : target;
console.log(JSON.stringify(answer));
`;

async function answerOf(module: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--disable-warning=ExperimentalWarning", "-e", program, module],
    { cwd: folder },
  );
  return JSON.parse(stdout);
}

describe("a sink outside of the repository", () => {
  const refused = { kind: "refuse", code: 550, text: "The subject is too long" };

  test("is the template, copied and not changed", async () => {
    const module = join(folder, "mine.ts");
    await cp(join(root, "src/sinks/_template.ts"), module);
    expect(await answerOf(module)).toMatchObject(refused);
  });

  test("is the one of docs/native-sinks.md", async () => {
    const page = await readFile(join(root, "docs/native-sinks.md"), "utf8");
    const module = join(folder, "long-subjects.ts");
    await writeFile(module, /```ts\n(.*?)```/s.exec(page)![1]!);
    expect(await answerOf(module)).toMatchObject(refused);
  });

  test("gets the faults and values of the server that loads it, not a copy of them", async () => {
    const module = join(folder, "same.ts");
    await writeFile(
      module,
      'import { Fault, Header, proceed } from "onarrival";\n' +
        `import { Fault as Ours } from ${JSON.stringify(join(root, "src/platform/fault.ts"))};\n` +
        'export default { name: "same", onArrival: ({ message }: any) => [Fault === Ours, message.header instanceof Header, proceed.kind] };\n',
    );
    expect(await answerOf(module)).toEqual([true, true, "proceed"]);
  });

  test("is broken, and says why, where it imports what is not there", async () => {
    const module = join(folder, "wrong.ts");
    await writeFile(module, 'import { nothing } from "onarrival";\nexport default nothing;\n');
    expect(await answerOf(module)).toMatchObject({
      kind: "broken",
      reason: expect.stringMatching(/nothing/) as string,
    });
  });
});
