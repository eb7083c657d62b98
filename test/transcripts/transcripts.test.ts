import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { engineNames as engines, startSubject } from "../support/listener.ts";
import { parseTranscript, playTranscript } from "../support/transcript.ts";

const files = globSync("**/*.smtp", { cwd: import.meta.dirname }).sort();

const read = (file: string) => readFileSync(join(import.meta.dirname, file), "utf8");
const transcripts = new Map(files.map((file) => [file, parseTranscript(read(file))]));

describe("transcripts", () => {
  test("are there", () => {
    expect(files.length).toBeGreaterThan(44);
  });

  describe.each(engines)("with the %s engine", (engine) => {
    const held = files.filter((file) => (transcripts.get(file)!.engine ?? engine) === engine);
    test.concurrent.each(held)("%s", async (file) => {
      const transcript = transcripts.get(file)!;
      const subject = await startSubject({ ...transcript.options, engine });
      try {
        await playTranscript(transcript, subject);
      } finally {
        await subject.close();
      }
    });
  });

  test("open with a comment that says what must hold, and differ between the engines only where it is known", () => {
    for (const file of files) expect(read(file), file).toMatch(/^# [A-Z]/);
    const single = files.filter((file) => transcripts.get(file)!.engine !== undefined);
    for (const file of single) process.stdout.write(`ONE ENGINE: ${transcripts.get(file)!.engine} ${file}\n`);
    expect(new Set(single.map((file) => transcripts.get(file)!.engine))).toEqual(new Set(engines));
  });
});

describe("the player", () => {
  const dialogue = (...lines: string[]) =>
    parseTranscript(["S: 220*", "C: EHLO client.example", "S: 250*", ...lines].join("\n"));
  const wrong: readonly [why: string, lines: readonly string[], words: RegExp][] = [
    ["another reply", ["C: NOOP", "S: 500*"], /line 5: S: 500\*\n {2}the server said \["250 /],
    ["a pattern that covers only the beginning", ["C: NOOP", "S: 250"], /the server said/],
    ["a reply nobody asked for", ["C: NOOP"], /the server said besides: "250 /],
    ["a connection that was not closed", ["C: QUIT", "S: 221*", "C: NOOP", "S: 250*"], /the connection ended/],
    ["a message that is not there", ["message 1 from <>"], /no such message/],
    ["a spool that does not hold so many", ["spool holds 1"], /it holds 0/],
    ["a step that is none", ["dance"], /no such step/],
  ];
  test.each(wrong)("notices %s", async (_why, lines, words) => {
    const subject = await startSubject();
    try {
      await expect(playTranscript(dialogue(...lines), subject)).rejects.toThrow(words);
    } finally {
      await subject.close();
    }
  });
});
