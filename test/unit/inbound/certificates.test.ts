/** Certificates that are renewed while clients are there: real files, real handshakes, a clock that is moved. */
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Certificates, lookEveryMs, warnBeforeMs } from "../../../src/inbound/certificates.ts";
import type { Listener, ListenerTls } from "../../../src/inbound/listener.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { createFakeClock, type FakeClock } from "../../support/fake-clock.ts";
import { createListenerOptions, createReceptionOptions, testCertificate } from "../../support/listener.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const pem = (name: string) => ({
  cert: readFileSync(join(import.meta.dirname, `certificates/${name}-cert.pem`)),
  key: readFileSync(join(import.meta.dirname, `certificates/${name}-key.pem`)),
});
type Pair = ReturnType<typeof pem>;
/** When the certificate of the fixtures for `localhost` ends, before the other one. */
const endsAt = Date.UTC(2126, 9, 30, 19, 36, 25);

let folder: string;
let clock: FakeClock;
let log: ReturnType<typeof createRecordingLog>;
let certificates: Certificates | undefined;
let listener: Listener | undefined;
const sockets = new Set<Socket>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "onarrival-certificates-"));
  clock = createFakeClock();
  log = createRecordingLog();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  certificates?.close();
  await listener?.close(0);
  listener = certificates = undefined;
  rmSync(folder, { recursive: true });
});

const files = (name = "own") => ({ cert: join(folder, `${name}-cert.pem`), key: join(folder, `${name}-key.pem`) });

/** Puts a pair in its place as a program that renews does: aside, then renamed. */
function put({ cert, key }: Pair, name = "own"): void {
  for (const [path, octets] of [
    [files(name).cert, cert],
    [files(name).key, key],
  ] as const) {
    writeFileSync(`${path}.new`, octets);
    renameSync(`${path}.new`, path);
  }
}

async function open(...names: string[]): Promise<Certificates> {
  certificates = await Certificates.open({
    files: [files(), ...names.map(files)],
    listener: "submission",
    clock,
    log,
  });
  return certificates;
}

/** Time goes by until the next look at the files is over. */
async function look(afterMs = lookEveryMs): Promise<void> {
  await clock.advance(afterMs);
  // The look reads files; the next one is planned behind it.
  await vi.waitFor(() => expect(clock.nextAt).toBeDefined(), { interval: 1 });
}

async function listen(mode: "starttls" | "implicit"): Promise<void> {
  const tls: ListenerTls = { ...certificates!.present, mode, askCertificate: false, renewals: certificates! };
  const options = createListenerOptions({ tls });
  const reception = new Reception(options, createReceptionOptions());
  listener = await startNativeListener(options, reception, { clock: systemClock, log });
}

async function shakeHands(servername: string, socket?: Socket): Promise<TLSSocket> {
  const secured = connectTls({
    ...(socket ? { socket } : { port: listener!.port, host: "127.0.0.1" }),
    servername,
    rejectUnauthorized: false,
  });
  sockets.add(secured);
  await new Promise<void>((resolve, reject) => secured.once("secureConnect", resolve).once("error", reject));
  return secured;
}

const nameOf = (socket: TLSSocket) => String(socket.getPeerCertificate().subject.CN);

async function startTls(): Promise<TLSSocket> {
  const socket = connect({ port: listener!.port, host: "127.0.0.1" });
  sockets.add(socket);
  const reply = () => new Promise<string>((resolve) => socket.once("data", (chunk: Buffer) => resolve(String(chunk))));
  await reply();
  for (const line of ["EHLO client.example", "STARTTLS"]) {
    socket.write(`${line}\r\n`);
    expect(await reply()).toMatch(/^2/);
  }
  return await shakeHands("localhost", socket);
}

describe("Certificates", () => {
  test.each(["implicit", "starttls"] as const)(
    "%s: new handshakes get the new one, a session that is there goes on",
    async (mode) => {
      put(testCertificate);
      await open();
      await listen(mode);
      const begin = mode === "implicit" ? () => shakeHands("localhost") : startTls;
      const before = await begin();
      expect(nameOf(before)).toBe("localhost");
      put(pem("other"));
      await look();
      expect(log.of("tls.renewed")).toMatchObject([{ fields: { listener: "submission" } }]);
      expect(nameOf(await begin())).toBe("other.example");
      const heard = new Promise<string>((resolve) =>
        before.on("data", (chunk: Buffer) => {
          if (/^250/m.test(String(chunk))) resolve(String(chunk));
        }),
      );
      before.write("EHLO client.example\r\n");
      expect(await heard).toMatch(/^250/m);
    },
  );

  test("those for other names are renewed too", async () => {
    put(testCertificate);
    put(pem("client"), "more");
    await open("more");
    await listen("implicit");
    expect(nameOf(await shakeHands("other.example"))).toBe("localhost");
    put(pem("other"), "more");
    await look();
    expect(nameOf(await shakeHands("other.example"))).toBe("other.example");
    expect(nameOf(await shakeHands("localhost"))).toBe("localhost");
  });

  test("links that are turned to other files are seen", async () => {
    for (const [name, pair] of [
      ["one", testCertificate],
      ["two", pem("other")],
    ] as const) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "cert.pem"), pair.cert);
      writeFileSync(join(folder, name, "key.pem"), pair.key);
    }
    const turn = (name: string) => {
      for (const what of ["cert", "key"] as const) {
        symlinkSync(join(folder, name, `${what}.pem`), join(folder, "link"));
        renameSync(join(folder, "link"), files()[what]);
      }
    };
    turn("one");
    const opened = await open();
    turn("two");
    await look();
    expect(opened.present.cert).toEqual(pem("other").cert);
  });

  test.each<{ why: string; break: () => void; words: RegExp }>([
    {
      why: "the key of another certificate",
      break: () => writeFileSync(files().key, pem("other").key),
      words: /the key is that of another certificate/,
    },
    { why: "no certificate", break: () => writeFileSync(files().cert, "hello"), words: /Cannot use the certificate/ },
    { why: "no key", break: () => writeFileSync(files().key, "hello"), words: /Cannot use the key/ },
    { why: "a file that is gone", break: () => unlinkSync(files().key), words: /Cannot read the key/ },
  ])("$why leaves the former ones, and is told once it has stayed so", async ({ break: spoil, words }) => {
    put(testCertificate);
    const opened = await open();
    spoil();
    await look();
    expect(log.of("tls.not-renewed")).toEqual([]);
    await look();
    await look();
    expect(log.of("tls.not-renewed")).toMatchObject([
      { level: "error", fields: { reason: expect.stringMatching(words) } },
    ]);
    expect(opened.present).toEqual({ ...testCertificate, more: [] });
    put(pem("other"));
    await look();
    expect(opened.present.cert).toEqual(pem("other").cert);
  });

  test("a pair that was seen half written is nobody's error", async () => {
    put(testCertificate);
    const opened = await open();
    writeFileSync(files().cert, pem("other").cert);
    await look();
    writeFileSync(files().key, pem("other").key);
    await look();
    await look();
    expect(opened.present.cert).toEqual(pem("other").cert);
    expect(log.of("tls.not-renewed")).toEqual([]);
  });

  test("one that cannot be used keeps no other from being renewed", async () => {
    put(testCertificate);
    put(pem("client"), "more");
    const opened = await open("more");
    writeFileSync(files("more").cert, "hello");
    put(pem("other"));
    await opened.reload();
    expect(opened.present.cert).toEqual(pem("other").cert);
    expect(opened.present.more).toEqual([pem("client")]);
    expect(log.of("tls.not-renewed")).toHaveLength(1);
  });

  test("a reload looks at once, and says at once what is wrong", async () => {
    put(testCertificate);
    const opened = await open();
    put(pem("other"));
    await opened.reload();
    expect(opened.present.cert).toEqual(pem("other").cert);
    writeFileSync(files().key, "hello");
    await opened.reload();
    expect(log.of("tls.not-renewed")).toHaveLength(1);
  });

  test("one that has ended takes no other's place", async () => {
    clock = createFakeClock(endsAt);
    put(pem("other"));
    const opened = await open();
    put(testCertificate);
    await opened.reload();
    expect(opened.present.cert).toEqual(pem("other").cert);
    expect(log.of("tls.not-renewed")).toMatchObject([
      { fields: { reason: expect.stringContaining("it ended at 2126-10-30") } },
    ]);
  });

  test.each([
    ["long before its end", -warnBeforeMs - 1, undefined],
    ["two weeks before it", -warnBeforeMs, "tls.expires-soon"],
    ["in the last second", -1, "tls.expires-soon"],
    ["at its end", 0, "tls.expired"],
  ])("says %s what is to be said at the start", async (_why, distanceMs, event) => {
    clock = createFakeClock(endsAt + distanceMs);
    put(testCertificate);
    await open();
    expect(log.lines.map((line) => line.event)).toEqual(event === undefined ? [] : [event]);
  });

  test("says it again every day", async () => {
    clock = createFakeClock(endsAt - 3.5 * 86_400_000);
    put(testCertificate);
    await open();
    await look(86_400_000 - lookEveryMs);
    await look(lookEveryMs - 1);
    expect(log.of("tls.expires-soon")).toHaveLength(1);
    await look();
    await look();
    expect(log.of("tls.expires-soon").map(({ fields }) => fields.days)).toEqual([3, 2]);
  });

  test.each<{ why: string; pair: Pair; words: RegExp }>([
    {
      why: "a key of another",
      pair: { cert: testCertificate.cert, key: pem("other").key },
      words: /the key is that of another/,
    },
    {
      why: "a certificate that is none",
      pair: { cert: Buffer.from("x"), key: pem("other").key },
      words: /Cannot use the certificate/,
    },
    {
      why: "a key that is none",
      pair: { cert: testCertificate.cert, key: Buffer.from("x") },
      words: /Cannot use the key/,
    },
  ])("does not start with $why", async ({ pair, words }) => {
    put(pair);
    await expect(open()).rejects.toMatchObject({ code: "config.unreadable", message: expect.stringMatching(words) });
  });

  test("does not start without its files, and looks no more when it is closed", async () => {
    await expect(open()).rejects.toMatchObject({ code: "config.unreadable" });
    put(testCertificate);
    (await open()).close();
    expect(clock.nextAt).toBeUndefined();
  });
});
