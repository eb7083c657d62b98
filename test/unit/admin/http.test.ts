/** The admin port: health, metrics, and whose requests it answers. */
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { createAdminApi, serveAdmin } from "../../../src/admin/http.ts";
import { fakeServerView } from "../../support/server-view.ts";

const api = createAdminApi({ view: fakeServerView(), hosts: ["mail.example.org"] });
const get = (path: string, host = "127.0.0.1:8025") => api.request(path, { headers: { host } });

describe("createAdminApi", () => {
  test.each([
    ["alive", "/livez", 200, "ok\n"],
    ["ready", "/readyz", 200, "ready\n"],
    ["ready, in words", "/readyz?verbose", 200, "ready\n"],
    ["the metrics", "/metrics", 200, "onarrival_up 1\n"],
    ["where to look", "/", 404, "There are /livez, /readyz and /metrics here.\n"],
    ["nothing of the control API", "/api/v1/queue", 404, "There are /livez, /readyz and /metrics here.\n"],
  ])("answers %s", async (_why, path, status, body) => {
    const response = await get(path);
    expect([response.status, await response.text()]).toEqual([status, body]);
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  test("says why it is not ready only where that is asked", async () => {
    const starting = createAdminApi({
      view: fakeServerView({ ready: () => ({ ready: false, reasons: ["The server is stopping."] }) }),
      hosts: [],
    });
    const headers = { host: "localhost" };
    const brief = await starting.request("/readyz", { headers });
    const verbose = await starting.request("/readyz?verbose", { headers });
    expect([brief.status, await brief.text()]).toEqual([503, "not ready\n"]);
    expect([verbose.status, await verbose.text()]).toEqual([503, "not ready\n- The server is stopping.\n"]);
    expect((await starting.request("/livez", { headers })).status).toBe(200);
  });

  test.each([
    ["an IPv4 address", "192.0.2.1:8025", 200],
    ["an IPv6 address", "[::1]:8025", 200],
    ["localhost", "localhost", 200],
    ["a name of the configuration, whatever its case", "MAIL.example.org:8025", 200],
    ["somebody else's name", "evil.example", 421],
    ["a name that begins like ours", "localhost.evil.example", 421],
    ["a name that begins like an address", "127.0.0.1.evil.example", 421],
    ["two names", "localhost, evil.example", 421],
    ["an empty name", "", 421],
  ])("for a request that names %s", async (_why, host, status) => {
    expect((await get("/metrics", host)).status).toBe(status);
  });

  test("keeps the words of a failure to itself", async () => {
    const broken = createAdminApi({
      view: fakeServerView({ metrics: () => Promise.reject(new Error("/secret/path")) }),
      hosts: [],
    });
    const response = await broken.request("/metrics", { headers: { host: "localhost" } });
    expect([response.status, await response.text()]).toEqual([500, "This did not work; the log says why.\n"]);
  });
});

describe("serveAdmin", () => {
  test("listens on a free port where 0 is asked for", async () => {
    const admin = await serveAdmin({ view: fakeServerView(), address: "127.0.0.1", port: 0, hosts: [] });
    const response = await fetch(`http://127.0.0.1:${admin.port}/livez`);
    expect(await response.text()).toBe("ok\n");
    await admin.close();
    await expect(fetch(`http://127.0.0.1:${admin.port}/livez`)).rejects.toThrow();
  });

  test("throws listen.failed where the port is in use", async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    const { port } = holder.address() as { port: number };
    await expect(serveAdmin({ view: fakeServerView(), address: "127.0.0.1", port, hosts: [] })).rejects.toMatchObject({
      code: "listen.failed",
      message: `Cannot listen on 127.0.0.1:${port} (admin port): another program uses this port`,
    });
    holder.close();
  });
});
