/** Asks the running server over its control socket. One request, one JSON answer; the server of the configuration's data folder is meant. */
import { request } from "node:http";
import { join, relative } from "node:path";
import { controlSocketName } from "../admin/server-view.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

const answerTimeoutMs = 10_000;
const answerOctetsMax = 256 * 1024 * 1024;

/** @throws {Fault} `control.not-running`; `control.refused` where the server is there and does not answer as asked */
export async function askServer<Answer>(options: {
  readonly data: string;
  readonly cwd: string;
  readonly path: string;
}): Promise<Answer> {
  const socketPath = join(options.data, controlSocketName);
  const shown = shorter(socketPath, options.cwd);
  const { status, body } = await get(socketPath, options.path, shown);
  let answer: unknown;
  try {
    answer = JSON.parse(body);
  } catch (error) {
    throw new Fault("control.refused", `The server at ${shown} did not answer in JSON`, { cause: error });
  }
  if (status === 200) {
    // Both ends are of one version: the server's types are the client's (src/admin/server-view.ts).
    return answer as Answer;
  }
  const words =
    typeof answer === "object" && answer !== null && "error" in answer ? String(answer.error) : `status ${status}`;
  throw new Fault("control.refused", `The server at ${shown} says: ${words}`, { facts: { status } });
}

function get(
  socketPath: string,
  path: string,
  shown: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    // Relative where that is shorter: the kernel takes only short paths.
    const asked = request(
      {
        socketPath: shorter(socketPath, process.cwd()),
        path,
        timeout: answerTimeoutMs,
        headers: { Host: "localhost" },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let octets = 0;
        response.on("data", (chunk: Buffer) => {
          octets += chunk.length;
          if (octets > answerOctetsMax) asked.destroy(new Error("the answer is too large"));
          else chunks.push(chunk);
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
        response.on("error", (error) => reject(unanswered(error, shown)));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${answerTimeoutMs / 1_000} s`)));
    asked.on("error", (error) => reject(unanswered(error, shown)));
    asked.end();
  });
}

function unanswered(error: NodeJS.ErrnoException, shown: string): Fault {
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
    case "ENOTSOCK":
    case "EINVAL":
      return new Fault("control.not-running", `No server is running (no answer on ${shown})`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new Fault("control.refused", `Cannot ask the server on ${shown}: only the user who runs it may`, {
        cause: error,
      });
    default:
      return new Fault("control.refused", `Cannot ask the server on ${shown}: ${describeThrown(error)}`, {
        cause: error,
      });
  }
}

function shorter(path: string, from: string): string {
  const near = relative(from, path);
  return near !== "" && near.length < path.length ? near : path;
}
