/** The mistakes people make first, and what they are told. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stopCompiler } from "../../../sandbox/compile.ts";
import { Sandbox } from "../../../sandbox/host.ts";
import { createScriptFolder, runScript, type ScriptFolder } from "../../support/scripts.ts";

let sandbox: Sandbox;
let folder: ScriptFolder;

beforeAll(async () => {
  sandbox = await Sandbox.start({ processes: 1 });
  folder = await createScriptFolder();
});

afterAll(async () => {
  await sandbox.close();
  await stopCompiler();
  await folder.remove();
});

const octets = Buffer.from("From: a@example.org\r\nSubject: one\r\n\r\nhello\r\n");

describe("a forgotten await", () => {
  it.each([
    [
      "in a handler that is not async",
      'export const onArrival = (mail) => { const t = mail.text(); t.includes("x"); };\n',
    ],
    ["in one that is", 'export const onArrival = async (mail) => { const t = mail.text(); t.includes("x"); };\n'],
  ])("%s is told as what it is, with its place", async (_why, source) => {
    const { fault } = await runScript({ sandbox, folder }, source, octets);
    expect(fault).toMatchObject({ code: "script.threw", message: "TypeError: t.includes is not a function" });
    expect(fault!.at).toMatch(/:1:\d+$/);
  });

  it("of a text nobody needs does no harm", async () => {
    const source = "export const onArrival = (mail) => { mail.text(); mail.subject = 'two'; };\n";
    const { fault, effects } = await runScript({ sandbox, folder }, source, octets);
    expect(fault).toBeNull();
    expect(effects.fields).toEqual([0, ["Subject", "two"]]);
  });

  it("of a promise of one's own that is rejected is a fault", async () => {
    const source = "export const onArrival = () => { Promise.reject(new Error('lost')); };\n";
    const { fault } = await runScript({ sandbox, folder }, source, octets);
    expect(fault).toMatchObject({ code: "script.threw", message: expect.stringContaining("lost") as string });
  });
});

describe("an empty file", () => {
  it("is told to export a handler", async () => {
    await expect(runScript({ sandbox, folder }, "\n", octets)).rejects.toMatchObject({
      fault: { code: "script.exports" },
    });
  });
});
