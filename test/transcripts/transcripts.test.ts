import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startSubject } from "../support/listener.ts";
import { parseTranscript, playTranscript } from "../support/transcript.ts";

const files = globSync("**/*.smtp", { cwd: import.meta.dirname }).sort();

describe("transcripts", () => {
  test("are there", () => {
    expect(files.length).toBeGreaterThan(44);
  });

  test.concurrent.each(files)("%s", async (file) => {
    const source = readFileSync(join(import.meta.dirname, file), "utf8");
    expect(source, "a transcript opens with a comment that says what must hold").toMatch(/^# [A-Z]/);
    const transcript = parseTranscript(source);
    const subject = await startSubject(transcript.options);
    try {
      const played = playTranscript(transcript, subject);
      if (transcript.differs === undefined) await played;
      else await expect(played, "it holds now: take the line `# differs` away").rejects.toThrow(/^line \d+: /);
    } finally {
      await subject.close();
    }
  });

  test("differ only where it is known", () => {
    const differing = files.filter(
      (file) => parseTranscript(readFileSync(join(import.meta.dirname, file), "utf8")).differs !== undefined,
    );
    for (const file of differing) process.stdout.write(`DIFFERS: ${file}\n`);
    expect(differing.length).toBeLessThan(10);
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
