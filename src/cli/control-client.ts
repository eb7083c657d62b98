/** Asks the running server over its control socket. One request, one answer; the server of the configuration's data folder is meant. */
import { request } from "node:http";
import { join, relative } from "node:path";
import { controlSocketName } from "../admin/server-view.ts";
import { describeThrown, Fault } from "../platform/fault.ts";

const answerTimeoutMs = 10_000;
const answerOctetsMax = 256 * 1024 * 1024;

export interface ServerQuestion {
  readonly data: string;
  readonly cwd: string;
  readonly path: string;
  /** GET where none is given. */
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Text as it is; anything else as JSON. */
  readonly body?: unknown;
  /** Time for the answer. */
  readonly timeoutMs?: number;
}

/**
 * @throws {Fault} `control.not-running`; `control.refused` where the server is there and does not answer as asked, with `status`, the server's
 * own `words` and their `code` among its facts
 */
export async function askServer<Answer>(question: ServerQuestion): Promise<Answer> {
  const socketPath = join(question.data, controlSocketName);
  const shown = shorter(socketPath, question.cwd);
  const { status, body } = await send(socketPath, question, shown);
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
  const { error, code } = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const words = error === undefined ? `status ${status}` : String(error);
  throw new Fault("control.refused", `The server at ${shown} says: ${words}`, { facts: { status, words, code } });
}

function send(
  socketPath: string,
  { path, method = "GET", body, timeoutMs = answerTimeoutMs }: ServerQuestion,
  shown: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const octets = body === undefined ? undefined : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    // Relative where that is shorter: the kernel takes only short paths.
    const asked = request(
      {
        socketPath: shorter(socketPath, process.cwd()),
        path,
        method,
        timeout: timeoutMs,
        headers: {
          Host: "localhost",
          ...(octets && { "Content-Type": "application/json", "Content-Length": octets.length }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        let received = 0;
        response.on("data", (chunk: Buffer) => {
          received += chunk.length;
          if (received > answerOctetsMax) asked.destroy(new Error("the answer is too large"));
          else chunks.push(chunk);
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
        response.on("error", (error) => reject(unanswered(error, shown)));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    asked.on("error", (error) => reject(unanswered(error, shown)));
    asked.end(octets);
  });
}

export function unanswered(error: NodeJS.ErrnoException, shown: string): Fault {
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

export function shorter(path: string, from: string): string {
  const near = relative(from, path);
  return near !== "" && near.length < path.length ? near : path;
}
