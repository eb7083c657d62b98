/** Follows the running server over its control socket: JSON lines, as long as they come. */
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { controlSocketName } from "../admin/server-view.ts";
import { Fault } from "../platform/fault.ts";
import { shorter, unanswered } from "./control-client.ts";

/**
 * Calls `began` once the server answers, then `take` with each line's value until the server closes or `signal` fires.
 * @throws {Fault} `control.not-running`, `control.refused`
 */
export async function followServer<Entry>(
  options: { readonly data: string; readonly cwd: string; readonly path: string; readonly signal: AbortSignal },
  take: (entry: Entry) => void,
  began: () => void = () => {},
): Promise<void> {
  const socketPath = join(options.data, controlSocketName);
  const shown = shorter(socketPath, options.cwd);
  await new Promise<void>((resolve, reject) => {
    const asked = request(
      {
        socketPath: shorter(socketPath, process.cwd()),
        path: options.path,
        headers: { Host: "localhost" },
        signal: options.signal,
      },
      (response) => {
        const isTrace = response.statusCode === 200;
        if (isTrace) began();
        const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
        lines.on("line", (line) => {
          const value = line === "" ? undefined : readJson(line);
          // Both ends are of one version: the server's types are the client's.
          if (!isTrace) reject(new Fault("control.refused", `The server at ${shown} says: ${wordsOf(value ?? line)}`));
          // What is no JSON is the last line of a server that was killed while it wrote.
          else if (value !== undefined) take(value as Entry);
        });
        lines.on("close", resolve);
        // A server that is killed breaks off; readline says so too.
        lines.on("error", () => resolve());
        response.on("error", () => resolve());
      },
    );
    asked.on("error", (error: NodeJS.ErrnoException) =>
      options.signal.aborted ? resolve() : reject(unanswered(error, shown)),
    );
    asked.end();
  });
}

function readJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function wordsOf(value: unknown): string {
  return typeof value === "object" && value !== null && "error" in value ? String(value.error) : "no";
}
