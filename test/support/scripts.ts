/** Scripts under test: written into a folder of their own, compiled and loaded as the server does it, and run on a message given as text. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { compileScript } from "../../sandbox/compile.ts";
import type { Sandbox } from "../../sandbox/host.ts";
import { noCalls } from "../../sandbox/host-call.ts";
import {
  type CompiledScript,
  defaultLimits,
  type MailInput,
  type RunAnswer,
  type RunRequest,
  type RunStep,
  type ScriptLimits,
  type StepResult,
} from "../../sandbox/protocol.ts";
import { fieldValue, splitMessage } from "../../src/mail/header.ts";

/** A scripts folder in a temporary place. */
export interface ScriptFolder {
  readonly root: string;
  /** Writes files by name, folders on the way included. */
  write(files: Readonly<Record<string, string>>): Promise<void>;
  /** Writes a script and compiles it. */
  compile(text: string, name?: string): Promise<CompiledScript>;
  remove(): Promise<void>;
}

export async function createScriptFolder(): Promise<ScriptFolder> {
  const place = await mkdtemp(join(tmpdir(), "onarrival-scripts-"));
  const root = join(place, "scripts");
  await mkdir(root);
  let count = 0;
  const write = async (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), text);
    }
  };
  return {
    root,
    write,
    async compile(text, name = `script-${++count}.ts`) {
      await write({ [name]: text });
      return compileScript({ root, file: join(root, name) });
    },
    remove: () => rm(place, { recursive: true, force: true }),
  };
}

/** A message in CRLF from text with plain line ends. */
export function messageOf(text: string): Buffer {
  return Buffer.from(text.replaceAll("\n", "\r\n"));
}

/** A message as a run is given it. */
export function mailInputOf(octets: Buffer, change: Partial<MailInput> = {}): MailInput {
  const { header } = splitMessage(octets);
  return {
    id: "m-1",
    receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
    size: octets.length,
    session: {
      id: "s-1",
      listener: "mx",
      ip: "192.0.2.7",
      host: null,
      helo: "client.example",
      user: null,
      tls: null,
      auth: null,
    },
    envelope: { from: "sender@example.com", to: ["one@example.org", "two@example.org"] },
    fields: header.fields.map((field) => [field.name, fieldValue(field)] as const),
    ...change,
  };
}

export function stepOf(version: string, limits: Partial<ScriptLimits> = {}, change: Partial<RunStep> = {}): RunStep {
  return {
    bindingId: "b-1",
    version,
    limits: { ...defaultLimits, ...limits },
    matchedRecipients: [],
    proceedOnFault: false,
    grants: {},
    properties: {},
    ...change,
  };
}

/** Runs scripts on a message, one step each. */
export function runOn(
  sandbox: Sandbox,
  octets: Buffer,
  steps: readonly RunStep[],
  change: Partial<RunRequest> = {},
): Promise<RunAnswer> {
  return sandbox.run({
    event: "onArrival",
    steps,
    mail: mailInputOf(octets),
    subject: {},
    stopOnChange: false,
    octets: async () => octets,
    calls: noCalls,
    ...change,
  });
}

/** Loads one script, runs it once, and gives its result. */
export async function runScript(
  { sandbox, folder }: { readonly sandbox: Sandbox; readonly folder: ScriptFolder },
  text: string,
  octets: Buffer,
  { limits = {}, mail = {} }: { readonly limits?: Partial<ScriptLimits>; readonly mail?: Partial<MailInput> } = {},
): Promise<StepResult> {
  const script = await folder.compile(text);
  await sandbox.load(script, { ...defaultLimits, ...limits });
  const { steps } = await runOn(sandbox, octets, [stepOf(script.version, limits)], { mail: mailInputOf(octets, mail) });
  sandbox.unload(script.version);
  return steps[0]!;
}

/** What the message is with a result's effects applied: new fields written plainly, splices put into the body. */
export function applied(octets: Buffer, result: StepResult): Buffer {
  const { header, separator, body } = splitMessage(octets);
  const { fields, splices } = result.effects;
  const lines = fields?.map((field) =>
    typeof field === "number" ? header.fields[field]!.octets : Buffer.from(`${field[0]}: ${field[1]}\r\n`),
  );
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const splice of splices ?? []) {
    pieces.push(body.subarray(at, splice.start), splice.octets);
    at = splice.end;
  }
  return Buffer.concat([...(lines ?? [header.octets]), separator, ...pieces, body.subarray(at)]);
}
