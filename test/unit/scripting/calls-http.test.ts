/** Requests of scripts against servers of our own on loopback: what is sent, what comes back, and all that is refused on the way. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import type { HostAnswer, HostQuestion } from "../../../sandbox/host-call.ts";
import { objectionTo } from "../../../src/platform/address-policy.ts";
import { callHttp, type HttpSettings } from "../../../src/scripting/calls-http.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createFakeResolver } from "../../support/fake-resolver.ts";
import { authority, expired, good, wrong } from "../outbound/certificates.ts";

type HttpQuestion = HostQuestion & { readonly kind: "http" };

const servers: Server[] = [];
const sockets = new Set<Socket>();
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const serve = (handler: RequestListener) => listen(createServer(handler));

const resolver = createFakeResolver(
  {
    a: {
      localhost: ["127.0.0.1"],
      "a.example": ["127.0.0.1"],
      "b.example": ["127.0.0.1"],
      "private.example": ["10.0.0.1"],
      "mixed.example": ["127.0.0.1", "192.168.0.1"],
      "metadata.example": ["169.254.169.254"],
    },
    aaaa: { "mapped.example": ["::ffff:10.0.0.1"] },
    failing: ["broken.example"],
  },
  createFakeClock(),
);

/** Loopback is where the tests' servers are; all else that is not public is refused as ever. */
const settings: HttpSettings = {
  isGranted: () => true,
  resolver,
  objectionTo: (ip) => (ip === "127.0.0.1" ? undefined : objectionTo(ip)),
  octetsMax: 10_000,
  timeoutMs: 5_000,
  certificateAuthorities: authority,
};

function ask(
  url: string,
  change: Partial<HttpQuestion> & { readonly body?: string } = {},
  changed: Partial<HttpSettings> = {},
  signal = new AbortController().signal,
): Promise<HostAnswer> {
  const { body, ...rest } = change;
  const question: HttpQuestion = {
    kind: "http",
    method: "GET",
    url,
    headers: [],
    hasBody: body !== undefined,
    timeoutMs: null,
    follow: true,
    ...rest,
  };
  return callHttp(question, body === undefined ? null : Buffer.from(body), signal, { ...settings, ...changed });
}

interface Told {
  readonly status: number;
  readonly url: string;
  readonly redirected: boolean;
  readonly headers: readonly (readonly [string, string])[];
}

/** The value of an answer, which must be one. */
function told(answer: HostAnswer): Told & { readonly body: string } {
  if (!answer.ok) throw new Error(`${answer.code}: ${answer.message}`);
  return { ...(answer.value as unknown as Told), body: Buffer.from(answer.body ?? []).toString() };
}

describe("callHttp", () => {
  it("sends what was asked, and no more than that", async () => {
    let seen: IncomingMessage | undefined;
    let body = "";
    const port = await serve((request, response) => {
      seen = request;
      request.on("data", (chunk) => (body += chunk)).on("end", () => response.end("done"));
    });
    const answer = await ask(`http://a.example:${port}/x?y=1#z`, {
      method: "POST",
      body: '{"a":"ä"}',
      headers: [
        ["content-type", "application/json"],
        ["x-a", "1"],
        ["x-a", "2"],
      ],
    });
    expect(told(answer)).toMatchObject({ status: 200, body: "done", redirected: false });
    expect([seen!.method, seen!.url, body]).toEqual(["POST", "/x?y=1", '{"a":"ä"}']);
    expect(seen!.headers).toEqual({
      host: `a.example:${port}`,
      connection: "close",
      "user-agent": "OnArrival",
      "accept-encoding": "identity",
      "content-type": "application/json",
      "content-length": "10",
      "x-a": "1, 2",
    });
  });

  it.each([
    ["200", 200, "yes"],
    ["204", 204, ""],
    ["404", 404, "no"],
    ["500", 500, "broken"],
    ["a redirect that leads nowhere", 302, "moved"],
  ])("gives any status as an answer: %s", async (_why, status, body) => {
    const port = await serve((_request, response) => response.writeHead(status, { "X-A": ["1", "2"] }).end(body));
    const answer = told(await ask(`http://127.0.0.1:${port}/`));
    expect(answer).toMatchObject({ status, body, url: `http://127.0.0.1:${port}/` });
    expect(answer.headers).toContainEqual(["x-a", "1, 2"]);
  });

  it.each<[string, string, Partial<HttpQuestion> & { body?: string }, string]>([
    ["a password in the URL", "http://user:pass@a.example/", {}, "password"],
    ["another scheme", "ftp://a.example/", {}, "ftp:"],
    ["a file", "file:///etc/passwd", {}, "file:"],
    ["a port of mail's", "http://a.example:25/", {}, "Port 25"],
    ["CONNECT", "http://a.example/", { method: "CONNECT" }, "CONNECT"],
    ["TRACE", "http://a.example/", { method: "TRACE" }, "TRACE"],
    ["GET with a body", "http://a.example/", { body: "x" }, "no body"],
    ["Host", "http://a.example/", { headers: [["Host", "b.example"]] }, "Host"],
    ["Content-Length", "http://a.example/", { headers: [["content-length", "5"]] }, "content-length"],
    ["Transfer-Encoding", "http://a.example/", { headers: [["transfer-encoding", "chunked"]] }, "transfer-encoding"],
    ["Proxy-Authorization", "http://a.example/", { headers: [["Proxy-Authorization", "x"]] }, "Proxy-Authorization"],
  ])("sends nothing with %s", async (_why, url, change, words) => {
    expect(await ask(url, change)).toMatchObject({
      ok: false,
      code: "invalid",
      message: expect.stringContaining(words),
    });
  });

  it.each([
    ["a private address", "http://private.example/"],
    ["a private address beside another", "http://mixed.example/"],
    ["a private address inside IPv6", "http://mapped.example/"],
    ["the service that tells credentials", "http://metadata.example/latest/meta-data/"],
    ["that service by its address", "http://169.254.169.254/"],
    ["an address as one number", "http://2851995905/"],
    ["an address in octal", "http://0251.0376.0251.0376/"],
    ["another loopback address", "http://127.0.0.2/"],
    ["IPv6 loopback", "http://[::1]/"],
    ["IPv4 in IPv6", "http://[::ffff:127.0.0.2]/"],
    ["a translator's", "http://[64:ff9b::a00:1]/"],
    ["no network at all", "http://0.0.0.0/"],
  ])("does not connect to %s", async (_why, url) => {
    expect(await ask(url)).toMatchObject({ ok: false, code: "private-address" });
  });

  it("connects to no loopback address where the policy is the real one", async () => {
    const port = await serve((_request, response) => response.end("reached"));
    for (const host of ["127.0.0.1", "localhost", "a.example"]) {
      expect(await ask(`http://${host}:${port}/`, {}, { objectionTo })).toMatchObject({ code: "private-address" });
    }
    expect(told(await ask(`http://127.0.0.1:${port}/`, {}, { objectionTo: () => undefined })).body).toBe("reached");
  });

  it("connects to the address it looked at, whatever the name becomes meanwhile", async () => {
    const port = await serve((_request, response) => response.end("first"));
    const answers = ["127.0.0.1", "10.0.0.1"];
    const rebinding: HttpSettings["resolver"] = {
      address: async (_name, family) =>
        family === 4
          ? { kind: "found", values: [answers.shift() ?? "10.0.0.1"], authentic: false }
          : { kind: "none", nameExists: true, authentic: false },
    };
    expect(told(await ask(`http://rebind.example:${port}/`, {}, { resolver: rebinding })).body).toBe("first");
    expect(answers).toEqual(["10.0.0.1"]);
  });

  it("looks a name up anew at a redirect, and at its addresses again", async () => {
    const port = await serve((_request, response) =>
      response.writeHead(302, { Location: `http://rebind.example:${port}/again` }).end(),
    );
    const answers = ["127.0.0.1", "10.0.0.1"];
    const rebinding: HttpSettings["resolver"] = {
      address: async (_name, family) =>
        family === 4
          ? { kind: "found", values: [answers.shift() ?? "10.0.0.1"], authentic: false }
          : { kind: "none", nameExists: true, authentic: false },
    };
    expect(await ask(`http://rebind.example:${port}/`, {}, { resolver: rebinding })).toMatchObject({
      code: "private-address",
    });
  });

  it.each([
    ["a name that does not exist", "http://none.example/", "name"],
    ["a name that cannot be looked up", "http://broken.example/", "name"],
    ["a name that is none", "http://a_.-.example/", "name"],
    ["a port where nobody listens", "http://a.example:1/", "refused"],
  ])("tells why there is no answer: %s", async (_why, url, code) => {
    expect(await ask(url)).toMatchObject({ ok: false, code });
  });

  it("tells of a server that breaks off, and of one that speaks another protocol", async () => {
    const port = await listen(
      createTcpServer((socket) => socket.on("error", () => {}).end("220 mail.example ESMTP\r\n")),
    );
    expect(await ask(`http://a.example:${port}/`)).toMatchObject({ ok: false, code: "broken" });
    const half = await serve((_request, response) => {
      response.writeHead(200, { "Content-Length": "100" });
      response.write("half");
      setImmediate(() => response.destroy());
    });
    expect(await ask(`http://a.example:${half}/`)).toMatchObject({ ok: false, code: "broken" });
  });
});

describe("callHttp at a redirect", () => {
  /** A server that sends on `/n` to what `to` says, and tells at `/end` how it was asked. */
  async function redirecting(status: number, to: (port: number, n: number) => string) {
    const port: number = await serve((request, response) => {
      if (request.url === "/end") {
        const { authorization = "", cookie = "", "content-type": type = "", "x-a": own = "" } = request.headers;
        let body = "";
        request.on("data", (chunk) => (body += chunk));
        request.on("end", () => response.end(JSON.stringify([request.method, body, type, authorization, cookie, own])));
      } else response.writeHead(status, { Location: to(port, Number(request.url!.slice(1))) }).end("moved");
    });
    return port;
  }

  const sent: Partial<HttpQuestion> & { body: string } = {
    method: "POST",
    body: "x",
    headers: [
      ["content-type", "text/plain"],
      ["authorization", "Bearer t"],
      ["cookie", "c"],
      ["x-a", "1"],
    ],
  };

  it.each([
    [301, "GET", "", ""],
    [302, "GET", "", ""],
    [303, "GET", "", ""],
    [307, "POST", "x", "text/plain"],
    [308, "POST", "x", "text/plain"],
  ])("%i makes a POST a %s", async (status, method, body, type) => {
    const port = await redirecting(status, () => "/end");
    const answer = told(await ask(`http://a.example:${port}/0`, sent));
    expect(JSON.parse(answer.body)).toEqual([method, body, type, "Bearer t", "c", "1"]);
    expect([answer.url, answer.redirected]).toEqual([`http://a.example:${port}/end`, true]);
  });

  it("keeps credentials from another origin", async () => {
    const port = await redirecting(307, (own) => `http://b.example:${own}/end`);
    expect(JSON.parse(told(await ask(`http://a.example:${port}/0`, sent)).body)).toEqual([
      "POST",
      "x",
      "text/plain",
      "",
      "",
      "1",
    ]);
  });

  it("goes on three times, and no fourth", async () => {
    const port = await redirecting(302, (_port, n) => (n === 0 ? "/end" : `/${n - 1}`));
    expect(told(await ask(`http://a.example:${port}/2`)).status).toBe(200);
    expect(await ask(`http://a.example:${port}/3`)).toMatchObject({ ok: false, code: "redirects" });
  });

  it("does not go on where it is told not to", async () => {
    const port = await redirecting(302, () => "/end");
    expect(told(await ask(`http://a.example:${port}/0`, { follow: false }))).toMatchObject({
      status: 302,
      body: "moved",
    });
  });

  it.each([
    ["what is not granted", "http://b.example:80/end", "not-granted"],
    ["the service that tells credentials", "http://169.254.169.254/latest/", "private-address"],
    ["a private name", "http://private.example/", "private-address"],
    ["a file", "file:///etc/passwd", "not-granted"],
    ["no URL", "http://[", "broken"],
  ])("does not go on to %s", async (_why, location, code) => {
    const port = await redirecting(302, () => location);
    const isGranted = (origin: string) => origin.startsWith("http://") && !origin.startsWith("http://b.example");
    expect(await ask(`http://a.example:${port}/0`, {}, { isGranted })).toMatchObject({ ok: false, code });
  });
});

describe("callHttp with bounds", () => {
  it.each([
    ["as long as it may be", 10_000, undefined],
    ["an octet longer", 10_001, "too-large"],
  ])("takes an answer, and sends a body, %s", async (_why, length, code) => {
    const port = await serve((request, response) => {
      if (request.method === "GET") response.end("x".repeat(length));
      else request.resume().on("end", () => response.end("taken"));
    });
    const outcomes = [
      await ask(`http://a.example:${port}/`),
      await ask(`http://a.example:${port}/`, { method: "POST", body: "x".repeat(length) }),
    ];
    expect(outcomes.map((outcome) => (outcome.ok ? undefined : outcome.code))).toEqual([code, code]);
  });

  it("takes no more of an answer without end than it may", async () => {
    let sentOctets = 0;
    const port = await serve((_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(65_536))) sentOctets += 65_536;
      };
      response.on("drain", more);
      more();
    });
    expect(await ask(`http://a.example:${port}/`)).toMatchObject({ code: "too-large" });
    expect(sentOctets).toBeLessThan(50_000_000);
  });

  it("does not unpack what nobody asked to be packed", async () => {
    const port = await serve((_request, response) =>
      response.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync(Buffer.alloc(1_000_000))),
    );
    expect(await ask(`http://a.example:${port}/`)).toMatchObject({ ok: false, code: "encoding" });
  });

  it.each([
    ["an answer that never begins", () => {}],
    [
      "an answer that drips",
      (_request, response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write("x"), 5);
        response.on("close", () => clearInterval(drip));
      },
    ],
  ] satisfies [string, RequestListener][])("waits no longer than it may for %s", async (_why, handler) => {
    const port = await serve(handler);
    const started = performance.now();
    expect(await ask(`http://a.example:${port}/`, { timeoutMs: 60 })).toMatchObject({
      code: "timeout",
      message: "No answer within 60 ms",
    });
    expect(await ask(`http://a.example:${port}/`, { timeoutMs: 60_000 }, { timeoutMs: 40 })).toMatchObject({
      message: "No answer within 40 ms",
    });
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  it("ends, and hangs up, when nobody waits any more", async () => {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const port = await serve((request) => {
      request.socket.on("close", () => closed.resolve());
      asked.resolve();
    });
    const gaveUp = new AbortController();
    const answer = ask(`http://a.example:${port}/`, {}, {}, gaveUp.signal);
    await asked.promise;
    gaveUp.abort();
    expect(await answer).toMatchObject({ ok: false, code: "aborted" });
    await closed.promise;
    expect(await ask(`http://a.example:${port}/`, {}, {}, gaveUp.signal)).toMatchObject({ code: "aborted" });
  });
});

describe("callHttp over TLS", () => {
  const secure = (identity: { readonly key: string; readonly cert: string }) =>
    listen(createTlsServer(identity, (_request, response) => response.end("secret")) as unknown as Server);

  it("believes a certificate for the host", async () => {
    expect(told(await ask(`https://localhost:${await secure(good)}/`)).body).toBe("secret");
  });

  it.each([
    ["for another host", wrong, {}],
    ["that is over", expired, {}],
    ["of an authority nobody knows", good, { certificateAuthorities: expired.cert }],
  ])("believes none %s", async (_why, identity, changed) => {
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect(await ask(`https://localhost:${await secure(identity)}/`, {}, changed)).toMatchObject({
        ok: false,
        code: "tls",
      });
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  it("tells of a server without TLS", async () => {
    const port = await serve((_request, response) => response.end());
    expect(await ask(`https://localhost:${port}/`)).toMatchObject({ ok: false, code: "tls" });
  });
});
