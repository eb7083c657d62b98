/** The octets of a message from the server to standard output, as they come. */
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { controlSocketName } from "../admin/server-view.ts";
import { Fault } from "../platform/fault.ts";
import { shorter, unanswered } from "./control-client.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";

/** Time without a single octet. */
const silenceMs = 30_000;

/** To a file or a program as they are; on a terminal without what could steer it. @throws {Fault} `control.not-running`, `control.refused` */
export async function writeContent(path: string, flags: SettingsFlags, context: CommandContext): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const decoder = new StringDecoder("utf8");
  await readContent({ data: config.data, cwd: context.cwd, path }, async (octets) => {
    const piece = process.stdout.isTTY === true ? harmless(decoder.write(octets)) : octets;
    // Past the terminal's text: octets that are no UTF-8 stay what they are.
    if (!process.stdout.write(piece)) await once(process.stdout, "drain");
  });
  return exitStatus.done;
}

/** Line ends and tabs stay. */
function harmless(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "");
}

/** Hands on each piece in its turn. @throws {Fault} `control.not-running`, `control.refused` */
export async function readContent(
  { data, cwd, path }: { readonly data: string; readonly cwd: string; readonly path: string },
  take: (octets: Buffer) => Promise<void>,
): Promise<void> {
  const socketPath = join(data, controlSocketName);
  const shown = shorter(socketPath, cwd);
  await new Promise<void>((resolve, reject) => {
    const asked = request(
      { socketPath: shorter(socketPath, process.cwd()), path, timeout: silenceMs, headers: { Host: "localhost" } },
      async (response) => {
        try {
          const refused: Buffer[] = [];
          for await (const piece of response as AsyncIterable<Buffer>) {
            if (response.statusCode === 200) await take(piece);
            else refused.push(piece);
          }
          if (response.statusCode === 200) resolve();
          else
            reject(
              new Fault("control.refused", wordsOf(Buffer.concat(refused).toString()), {
                facts: { status: response.statusCode },
              }),
            );
        } catch (error) {
          reject(unanswered(error as NodeJS.ErrnoException, shown));
        }
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`nothing came for ${silenceMs / 1_000} s`)));
    asked.on("error", (error) => reject(unanswered(error, shown)));
    asked.end();
  });
}

function wordsOf(body: string): string {
  try {
    const { error } = JSON.parse(body) as { readonly error?: unknown };
    return typeof error === "string" ? error : body;
  } catch {
    return body;
  }
}
