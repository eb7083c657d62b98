/** Following a server over its socket: what comes, and how it ends. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { controlSocketName } from "../../../src/admin/server-view.ts";
import { followServer } from "../../../src/cli/control-stream.ts";

let data: string;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "follow-"));
});
afterEach(() => rm(data, { recursive: true }));

/** What a follower of this server is given. */
async function follow(answer: (response: ServerResponse) => void): Promise<unknown[]> {
  const server = createServer((_request, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(join(data, controlSocketName), resolve));
  const taken: unknown[] = [];
  try {
    const { signal } = new AbortController();
    await followServer({ data, cwd: data, path: "/api/v1/trace", signal }, (entry) => taken.push(entry));
    return taken;
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe("followServer", () => {
  test("ends in peace where the server is killed in the middle of a line", async () => {
    const taken = await follow((response) => {
      response.write('\n{"kind":"note"}\n{"kind":"li', () => response.destroy());
    });
    expect(taken).toEqual([{ kind: "note" }]);
  });

  test.each([
    ["in JSON", '{"error":"no such path"}', "says: no such path"],
    ["in words", "Bad Gateway", "says: no"],
  ])("tells what a server says that shows nothing: %s", async (_why, body, words) => {
    const refused = follow((response) => response.writeHead(404).end(body));
    await expect(refused).rejects.toMatchObject({
      code: "control.refused",
      message: expect.stringContaining(words) as string,
    });
  });
});
