/** The control socket: what its API answers, who may open it, and what happens where a socket is there already. */
import { spawnSync } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createControlApi, serveControl } from "../../../src/admin/control.ts";
import { controlSocketName } from "../../../src/admin/server-view.ts";
import { askServer } from "../../../src/cli/control-client.ts";
import { fakeServerView } from "../../support/server-view.ts";

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "control-"));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const ask = <Answer>(path: string) => askServer<Answer>({ data, cwd: "/", path });

describe("createControlApi", () => {
  const api = createControlApi(fakeServerView());

  test.each([
    ["the scripts", "/api/v1/scripts", { scripts: fakeServerView().scripts() }],
    ["the bindings", "/api/v1/bindings", { bindings: fakeServerView().bindings() }],
    ["the status", "/api/v1/status", { ...fakeServerView().status(), ready: true, reasons: [] }],
  ])("answers %s", async (_why, path, answer) => {
    const response = await api.request(path);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(answer);
  });

  test.each([["a path that is not there", "/api/v2", 404, /no such path/]])(
    "refuses %s",
    async (_why, path, status, words) => {
      const response = await api.request(path);
      expect(response.status).toBe(status);
      expect(((await response.json()) as { error: string }).error).toMatch(words);
    },
  );

  test("tells what went wrong where the server itself fails", async () => {
    const broken = createControlApi(
      fakeServerView({
        bindings: () => {
          throw new Error("the disk is gone");
        },
      }),
    );
    const response = await broken.request("/api/v1/bindings");
    expect([response.status, await response.json()]).toEqual([500, { error: "the disk is gone" }]);
  });
});

describe("serveControl", () => {
  test("has no limit to the time of a request: a message may be hours in the making", async () => {
    const limits: unknown[] = [];
    const hear = (message: unknown) => limits.push((message as { readonly server: HttpServer }).server.requestTimeout);
    subscribe("http.server.request.start", hear);
    const control = await serveControl({ view: fakeServerView(), path: join(data, controlSocketName) });
    await ask("/api/v1/status");
    await control.close();
    unsubscribe("http.server.request.start", hear);
    expect(limits).toEqual([0]);
  });

  test("answers on a socket that only its user may open, and removes it at the end", async () => {
    const path = join(data, controlSocketName);
    const control = await serveControl({ view: fakeServerView(), path });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(data)).toEqual([controlSocketName]);
    expect(await ask("/api/v1/scripts")).toEqual({ scripts: fakeServerView().scripts() });
    await control.close();
    expect(existsSync(path)).toBe(false);
  });

  test("replaces a socket that a killed server left behind", async () => {
    const path = join(data, controlSocketName);
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(statSync(path).isSocket()).toBe(true);
    const control = await serveControl({ view: fakeServerView(), path });
    expect(await ask("/api/v1/scripts")).toEqual({ scripts: fakeServerView().scripts() });
    await control.close();
  });

  test("refuses a data folder on which a server lives, and leaves that one alone", async () => {
    const path = join(data, controlSocketName);
    const first = await serveControl({ view: fakeServerView(), path });
    await expect(serveControl({ view: fakeServerView(), path })).rejects.toMatchObject({
      code: "data.unusable",
      message: expect.stringContaining("another server runs on it"),
    });
    expect(await ask("/api/v1/scripts")).toEqual({ scripts: fakeServerView().scripts() });
    await first.close();
  });

  test("leaves the socket of a successor in its place", async () => {
    const path = join(data, controlSocketName);
    const first = await serveControl({ view: fakeServerView(), path });
    rmSync(path);
    const second = await serveControl({ view: fakeServerView(), path });
    await first.close();
    expect(await ask("/api/v1/scripts")).toEqual({ scripts: fakeServerView().scripts() });
    await second.close();
  });

  test.each([
    ["a folder that is not there", () => join(data, "missing", controlSocketName), /ENOENT/],
    [
      "a path too long for a socket",
      () => join(data, "x".repeat(100), controlSocketName),
      /at most 10[37] octets; choose a shorter data folder/,
    ],
  ])("throws listen.failed for %s", async (_why, path, words) => {
    await expect(serveControl({ view: fakeServerView(), path: path() })).rejects.toMatchObject({
      code: "listen.failed",
      message: expect.stringMatching(words),
    });
  });
});

describe("askServer", () => {
  test("throws control.not-running where no server ever ran", async () => {
    await expect(ask("/")).rejects.toMatchObject({
      code: "control.not-running",
      message: `No server is running (no answer on ${join(data, controlSocketName).slice(1)})`,
    });
  });

  test("throws control.not-running where a killed server left its socket", async () => {
    const script = `require("net").createServer().listen(${JSON.stringify(join(data, controlSocketName))}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    await expect(ask("/")).rejects.toMatchObject({ code: "control.not-running" });
  });

  test("throws control.refused with the server's words", async () => {
    const control = await serveControl({ view: fakeServerView(), path: join(data, controlSocketName) });
    await expect(ask("/api/v1/none")).rejects.toMatchObject({
      code: "control.refused",
      message: expect.stringContaining("no such path"),
    });
    await control.close();
  });

  test("throws control.refused where something else answers", async () => {
    const stranger = createServer((socket) =>
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"),
    );
    await new Promise<void>((resolve) => stranger.listen(join(data, controlSocketName), resolve));
    await expect(ask("/")).rejects.toMatchObject({
      code: "control.refused",
      message: expect.stringContaining("did not answer in JSON"),
    });
    stranger.close();
  });
});
