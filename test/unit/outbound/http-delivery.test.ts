import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { HttpDelivery, type HttpDeliveryOptions } from "../../../src/outbound/http-delivery.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage, readMessage, type SampleMessage, sampleData } from "../../support/sample-message.ts";
import { type HttpAnswerer, type HttpProgram, startHttpProgram } from "./http-server.ts";
import { recipientsOf } from "./smtp-setup.ts";

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function program(...args: Parameters<typeof startHttpProgram>): Promise<HttpProgram> {
  const started = await startHttpProgram(...args);
  closers.push(() => started.close());
  return started;
}

function delivery(options: Partial<HttpDeliveryOptions> = {}): HttpDelivery {
  const created = new HttpDelivery({ settings: { secret: null, timeoutMs: 10_000 }, clock: systemClock, ...options });
  closers.push(() => created.close());
  return created;
}

const ok: HttpAnswerer = (response) => void response.end("thanks\nfor that");

function deliver(url: string, sample: SampleMessage = {}, by = delivery(), signal?: AbortSignal) {
  const message = createSampleMessage(sample);
  return by.deliver({ url, message, recipients: recipientsOf(message), attemptId: "A1", ...(signal && { signal }) });
}

describe("HttpDelivery.deliver: the request", () => {
  test("is the message as it is, with its envelope in the fields", async () => {
    const { url, seen } = await program(ok);
    const clock = createFakeClock(1_700_000_000_999);
    const to = ["grace@example.test", "jörg@example.test", '"a,b"@example.test', "x+y=z@example.test"];
    const id = "01TESTMESSAGE000";
    const outcomes = await deliver(`${url}?key=1`, { to, id }, delivery({ clock }));
    expect(seen).toHaveLength(1);
    const [{ method, url: path, headers, body }] = seen as [(typeof seen)[number]];
    expect([method, path]).toEqual(["POST", "/mail?key=1"]);
    expect(body.toString("latin1")).toBe(sampleData);
    expect(headers).toMatchObject({
      "content-type": "message/rfc822",
      "content-length": String(sampleData.length),
      "onarrival-message-id": id,
      "onarrival-from": "ada@sender.example",
      "onarrival-to": "grace@example.test,j%C3%B6rg@example.test,%22a%2Cb%22@example.test,x+y=z@example.test",
      "onarrival-attempt": "A1",
      "onarrival-timestamp": "1700000000",
    });
    expect(headers["onarrival-signature"]).toBeUndefined();
    expect(String(headers["onarrival-to"]).split(",").map(decodeURIComponent)).toEqual(to);
    // The query may hold a key: it is in no log and no report.
    expect(outcomes).toEqual(
      to.map((_, index) => ({
        index,
        kind: "delivered",
        nextHop: url,
        reply: null,
        reason: "HTTP 200: thanks",
        status: "2.0.0",
      })),
    );
  });

  test("of the null reverse-path says <>, and octets that are no text arrive as they are", async () => {
    const { url, seen } = await program(ok);
    const data = Buffer.from("Subject: \xff\r\n\r\n\x00\x80\n\r\r\n", "latin1");
    await deliver(url, { from: null, data });
    expect(seen[0]!.headers["onarrival-from"]).toBe("<>");
    expect(seen[0]!.body.equals(data)).toBe(true);
  });

  test("is signed over time, id, envelope and message", async () => {
    const { url, seen } = await program(ok);
    await deliver(url, { to: ["jörg@example.test"] }, delivery({ settings: { secret: "s3cret", timeoutMs: 10_000 } }));
    const { headers, body } = seen[0]!;
    const signed = ["timestamp", "message-id", "from", "to"].map((name) => headers[`onarrival-${name}`]);
    const expected = createHmac("sha256", "s3cret")
      .update(`v1\n${signed.join("\n")}\n`)
      .update(body)
      .digest("hex");
    expect(headers["onarrival-signature"]).toBe(`v1=${expected}`);
    expect(headers["onarrival-to"]).toBe("j%C3%B6rg@example.test");
  });

  test("is taken for ours by the check of docs/delivery.md, and a changed one is not", async () => {
    const page = readFileSync(new URL("../../../docs/delivery.md", import.meta.url), "utf8");
    const folder = await mkdtemp(join(tmpdir(), "check-"));
    closers.push(() => rm(folder, { recursive: true }));
    const file = join(folder, "check.ts");
    await writeFile(file, /```ts\n(import \{ createHmac.*?)```/s.exec(page)![1]!);
    const { isOurs } = (await import(file)) as { isOurs(headers: object, body: Buffer, secret: string): boolean };
    const { url, seen } = await program(ok);
    await deliver(url, { to: ["jörg@example.test"] }, delivery({ settings: { secret: "s3cret", timeoutMs: 10_000 } }));
    const { headers, body } = seen[0]!;
    expect(isOurs(headers, body, "s3cret")).toBe(true);
    expect(isOurs(headers, body, "other")).toBe(false);
    expect(isOurs(headers, Buffer.concat([body, Buffer.from(" ")]), "s3cret")).toBe(false);
    expect(isOurs({ ...headers, "onarrival-to": "eve@far.example" }, body, "s3cret")).toBe(false);
    const { "onarrival-signature": _, ...unsigned } = headers;
    expect(isOurs(unsigned, body, "s3cret")).toBe(false);
  });

  test("streams a long body that is read piece by piece", async () => {
    const { url, seen } = await program(ok);
    const piece = Buffer.alloc(64 * 1024, "x");
    const sound = createSampleMessage();
    const body = {
      ...sound.body,
      inline: undefined,
      sizeOctets: 100 * piece.length,
      async *chunks() {
        for (let i = 0; i < 100; i++) yield piece;
      },
    };
    const message = createSampleMessage({ body });
    const work = { url, message, recipients: recipientsOf(message), attemptId: "A1" };
    const signing = delivery({ settings: { secret: "s3cret", timeoutMs: 10_000 } });
    expect(await signing.deliver(work)).toMatchObject([{ kind: "delivered" }]);
    expect(seen[0]!.body.equals(await readMessage(message))).toBe(true);
  });

  const batches = [
    { why: "50 recipients", to: 50, long: false, requests: [50] },
    { why: "51 recipients", to: 51, long: false, requests: [50, 1] },
    { why: "addresses longer than a field may be", to: 40, long: true, requests: [22, 18] },
  ];
  test.each(batches)("$why: $requests", async ({ to, long, requests }) => {
    const { url, seen } = await program(ok);
    // 181 characters each, with the comma.
    const [user, domain] = long ? ["x".repeat(60), `${"e".repeat(60)}.${"e".repeat(50)}.test`] : ["x", "example.test"];
    const recipients = Array.from({ length: to }, (_, i) => `${user}${String(i).padStart(2, "0")}@${domain}`);
    const outcomes = await deliver(url, { to: recipients });
    expect(seen.map(({ headers }) => String(headers["onarrival-to"]).split(",").length)).toEqual(requests);
    expect(outcomes.map(({ index }) => index)).toEqual(recipients.map((_, index) => index));
  });

  test("goes over a connection that stands, and over a fresh one where that has ended", async () => {
    let kill = false;
    const { url, seen, ...rest } = await program((response, _seen, request) => {
      if (kill) {
        kill = false;
        request.socket.destroy();
      } else response.end();
    });
    const by = delivery();
    await deliver(url, {}, by);
    await deliver(url, {}, by);
    expect(seen).toHaveLength(2);
    kill = true;
    expect(await deliver(url, {}, by)).toMatchObject([{ kind: "delivered" }]);
    expect(seen).toHaveLength(4);
    expect(rest).toBeDefined();
  });

  test("over TLS goes to who proves his name, and to nobody else", async () => {
    const folder = new URL("../../fixtures/tls/", import.meta.url);
    const [cert, key] = ["cert.pem", "key.pem"].map((name) => readFileSync(new URL(name, folder), "utf8")) as [
      string,
      string,
    ];
    const { url } = await program(ok, { tls: { cert, key } });
    const named = url.replace("127.0.0.1", "localhost");
    expect(await deliver(named)).toMatchObject([{ kind: "deferred", reason: expect.stringMatching(/certificate/) }]);
    expect(await deliver(named, {}, delivery({ certificateAuthorities: cert }))).toMatchObject([{ kind: "delivered" }]);
  });
});

describe("HttpDelivery.deliver: what goes wrong", () => {
  test("nobody listens there: deferred, and others need not try", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await deliver(`http://127.0.0.1:${port}/x`)).toMatchObject([
      { kind: "deferred", destinationDown: true, status: "4.4.1", reason: expect.stringContaining("ECONNREFUSED") },
    ]);
  });

  test("no answer in time: deferred", async () => {
    const clock = createFakeClock();
    const { url, seen } = await program(() => {});
    const ends = deliver(url, {}, delivery({ clock, settings: { secret: null, timeoutMs: 500 } }));
    await expect.poll(() => seen.length).toBe(1);
    await clock.advance(500);
    expect(await ends).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("no answer within 500 ms") },
    ]);
  });

  test("the attempt's time is over: deferred at once, also before it began", async () => {
    const { url, seen } = await program(() => {});
    const abort = new AbortController();
    const ends = deliver(url, {}, delivery(), abort.signal);
    await expect.poll(() => seen.length).toBe(1);
    abort.abort(new Error("time is over"));
    expect(await ends).toMatchObject([{ kind: "deferred", reason: expect.stringContaining("time is over") }]);
    expect(await deliver(url, {}, delivery(), abort.signal)).toMatchObject([{ kind: "deferred" }]);
    expect(seen).toHaveLength(1);
  });

  test("the server stops: what is under way is deferred", async () => {
    const { url, seen } = await program(() => {});
    const by = delivery();
    const ends = deliver(url, {}, by);
    await expect.poll(() => seen.length).toBe(1);
    by.close();
    expect(await ends).toMatchObject([{ kind: "deferred", reason: expect.stringContaining("stopping") }]);
  });

  test("a connection that breaks without an answer: deferred", async () => {
    const { url } = await program((_response, _seen, request) => void request.socket.destroy());
    expect(await deliver(url)).toMatchObject([{ kind: "deferred" }]);
  });

  test("a program that wants to speak another protocol: deferred, at once", async () => {
    const { url } = await program((_response, _seen, { socket }) => {
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    });
    expect(await deliver(url)).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("without an answer"), status: "4.4.1" },
    ]);
  });

  test("an answer of JSON that breaks off: deferred, for it may have been a no", async () => {
    const { url } = await program((response, _seen, { socket }) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "500" });
      response.write('{"recipients":[{"to":"grace@example.test","result":"fai', () => socket.destroy());
    });
    expect(await deliver(url)).toMatchObject([{ kind: "deferred", reason: "HTTP 200: its answer broke off" }]);
  });

  test("a body that cannot be read: deferred, and the program gets no whole request", async () => {
    const { url, seen } = await program(ok);
    const sound = createSampleMessage();
    const body = {
      ...sound.body,
      inline: undefined,
      async *chunks() {
        yield Buffer.from("half");
        throw new Error("the disk is gone");
      },
    };
    expect(await deliver(url, { body })).toMatchObject([
      { kind: "deferred", reason: expect.stringContaining("the disk is gone") },
    ]);
    expect(seen).toHaveLength(0);
  });

  test("an answer before the message was read counts", async () => {
    const { url } = await program(ok, {
      early: (response) => void response.writeHead(413, { connection: "close" }).end("too large"),
    });
    expect(await deliver(url)).toMatchObject([{ kind: "failed", status: "5.3.4", reason: "HTTP 413: too large" }]);
  });

  test("an endless answer is not read to its end", async () => {
    const { url } = await program((response) => {
      const go = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, "y")));
      };
      response.on("drain", go);
      go();
    });
    const [outcome] = await deliver(url);
    expect(outcome).toMatchObject({ kind: "delivered", reason: `HTTP 200: ${"y".repeat(200)}…` });
  });

  test("a redirect is not followed", async () => {
    const other = await program(ok);
    const { url } = await program((response) => void response.writeHead(307, { location: other.url }).end());
    expect(await deliver(url)).toMatchObject([{ kind: "deferred", reason: expect.stringContaining("not followed") }]);
    expect(other.seen).toHaveLength(0);
  });

  test("killed when the answer is here: it is sent again, under the same id", async () => {
    const { url, seen } = await program(ok);
    const writer = new URL("./http-writer.ts", import.meta.url).pathname;
    const run = (at: string) =>
      new Promise<string | null>((resolve) => {
        const env = { ...process.env, ONARRIVAL_CRASH_AT: at };
        spawn(process.execPath, [writer, url], { env, stdio: "ignore" }).once("exit", (_code, signal) =>
          resolve(signal),
        );
      });
    expect(await run("http.answered")).toBe("SIGKILL");
    expect(await run("")).toBeNull();
    expect(seen.map(({ headers }) => headers["onarrival-message-id"])).toEqual([
      "01TESTMESSAGE000",
      "01TESTMESSAGE000",
    ]);
  });
});
