/**
 * RELIABILITY §6 on clocks that jump: the machine's is set two days forward and two days back while mail is deferred and while it is taken. Nothing is lost, nothing is
 * given up early, and what is deferred goes out within its schedule. The jump is libfaketime's; what measures spans (the monotonic clock) does not jump, as on a real machine.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { freePorts } from "../support/free-ports.ts";
import { Site, waitFor } from "../support/site.ts";
import { expectReply, SmtpClient } from "../support/smtp-client.ts";
import { findTool } from "../support/tools.ts";
import { RecordingPeer } from "./recording-peer.ts";

const hourMs = 60 * 60_000;
/** The queue looks at the clock at least once a minute; a busy machine gets some more. */
const noticedWithinMs = 75_000;

/** A next hop that could not be reached is not asked again for ten seconds, whatever the clock says. */
const downMs = 11_000;

/** A site whose clock can be set, with a next hop that is away at first. */
class ClockSite {
  readonly site: Site;
  readonly peerPort: number;
  readonly #folder: string;
  readonly #file: string;
  #count = 0;

  private constructor(site: Site, peerPort: number, folder: string, file: string) {
    this.site = site;
    this.peerPort = peerPort;
    this.#folder = folder;
    this.#file = file;
  }

  static async start(retry: string): Promise<ClockSite> {
    const folder = mkdtempSync(join(tmpdir(), "onarrival-clock-"));
    const file = join(folder, "offset");
    const [peerPort] = (await freePorts(1)) as [number];
    setOffset(file, "+0");
    const site = await Site.start({
      config: `
[domains]
local = ["example.test"]
relay = ["remote.example"]
[[routes]]
match = "remote.example"
to = "smtp://127.0.0.1:${peerPort}"
[delivery.retry]
first = "${retry}"
max = "${retry}"
delay_warning = "0s"
`,
      env: {
        LD_PRELOAD: findTool("libfaketime")!,
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
        NO_FAKE_STAT: "1",
      },
    });
    return new ClockSite(site, peerPort, folder, file);
  }

  /** @param offset to the real time: `+2d` */
  setClock(offset: string): void {
    setOffset(this.#file, offset);
  }

  connect(): Promise<SmtpClient> {
    return SmtpClient.connect(this.site.smtpPort);
  }

  createMail(): { readonly marker: string; readonly data: Buffer } {
    const marker = `clock-${this.#count++}`;
    return { marker, data: Buffer.from(`X-Marker: ${marker}\r\nSubject: ${marker}\r\n\r\nbody of ${marker}\r\n`) };
  }

  /** Gives the id and the marker of a message that was taken. */
  async send(): Promise<{ readonly id: string; readonly marker: string }> {
    const client = await this.connect();
    const { marker, data } = this.createMail();
    const reply = expectReply(
      await client.send({ from: "reporter@example.test", to: ["bob@remote.example"], data }),
      250,
    );
    await client.quit();
    return { id: /queued as (\S+)/.exec(reply.text)![1]!, marker };
  }

  /** Waits until so many attempts at a message were deferred; gives the time the next is planned for and that of the log line. */
  async deferred(id: string, attempts: number): Promise<{ readonly at: number; readonly nextAt: number }> {
    const line = await this.site.logged(
      (line) => line.event === "delivery.deferred" && line.message === id && line.attempts === attempts,
      `of deferral ${attempts} of ${id}`,
      noticedWithinMs,
    );
    return { at: Date.parse(String(line.time)), nextAt: Date.parse(String(line.nextAttemptAt)) };
  }

  /** As the queue's listing says it. */
  async nextAttemptAt(id: string): Promise<number> {
    const { stdout } = await this.site.cli(["queue", "list", "--json"]);
    const items = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: string; recipients: { nextAttemptAt: string }[] });
    return Date.parse(items.find((item) => item.id === id)?.recipients[0]?.nextAttemptAt ?? "");
  }

  /** Nobody heard that mail was given up or late, and no line of the log says that something is broken. */
  expectNothingLost(): void {
    const bad = this.site
      .log()
      .filter(({ event, level }) => event === "delivery.failed" || event === "dsn.queued" || level === "error");
    expect(bad).toEqual([]);
    expect(this.site.maildir("reporter")).toEqual([]);
  }

  async remove(): Promise<void> {
    await this.site.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** In one step: the server reads the file whenever it asks what time it is. */
function setOffset(file: string, offset: string): void {
  writeFileSync(`${file}.new`, `${offset}\n`);
  renameSync(`${file}.new`, file);
}

/** How often each marker arrived, after all of them did. */
async function arrived(peer: RecordingPeer, markers: readonly string[], timeoutMs: number): Promise<number[]> {
  const counts = () => markers.map((wanted) => peer.delivered.filter(({ marker }) => marker === wanted).length);
  await waitFor(
    () => counts().every((count) => count > 0) || undefined,
    `${markers.join(", ")} at the peer`,
    timeoutMs,
  );
  return counts();
}

/** A message that is half sent when the clock jumps. */
async function sendAcross(clock: ClockSite, jump: () => void): Promise<string> {
  const client = await clock.connect();
  const { marker, data } = clock.createMail();
  expectReply(await client.command("MAIL FROM:<reporter@example.test>"), 250);
  jump();
  expectReply(await client.command("RCPT TO:<bob@remote.example>"), 250);
  expectReply(await client.command("DATA"), 354);
  expectReply(await client.command(`${data.toString("latin1")}.`), 250);
  await client.quit();
  return marker;
}

describeWith(["libfaketime"], "the machine's clock", () => {
  test.concurrent("is set forward, by two days and far beyond the lifetime of mail: what is deferred is tried at once, and not given up before it had its attempts", {
    timeout: 240_000,
  }, async () => {
    const clock = await ClockSite.start("1h");
    try {
      const { id, marker } = await clock.send();
      const { at, nextAt } = await clock.deferred(id, 1);
      expect(nextAt - at).toBeGreaterThan(0.85 * hourMs);
      expect(nextAt - at).toBeLessThan(1.15 * hourMs);

      clock.setClock("+2d");
      // Nobody says anything: the queue sees by itself that it is later. The next hop is still away.
      const again = await clock.deferred(id, 2);
      expect(again.at - at).toBeGreaterThan(47 * hourMs);
      expect(again.nextAt - again.at).toBeLessThan(1.15 * hourMs);

      const across = await sendAcross(clock, () => clock.setClock("+20d"));
      await clock.deferred(id, 3);
      const peer = await RecordingPeer.start(clock.peerPort);
      try {
        await sleep(downMs);
        clock.setClock("+21d");
        const last = await clock.send();
        expect(await arrived(peer, [marker, across, last.marker], noticedWithinMs)).toEqual([1, 1, 1]);
        await clock.site.drained();
      } finally {
        await peer.close();
      }
      clock.expectNothingLost();
    } finally {
      await clock.remove();
    }
  });

  test.concurrent("is set two days back: what is deferred waits an hour at most, also over a restart, and new mail by its schedule", {
    timeout: 240_000,
  }, async () => {
    const clock = await ClockSite.start("5s");
    try {
      const first = await clock.send();
      await clock.deferred(first.id, 1);
      const across = await sendAcross(clock, () => clock.setClock("-2d"));
      const { id } = await clock.site
        .logged(
          (line) => line.event === "message.accepted" && line.message !== first.id,
          "of the message that was half sent",
        )
        .then(({ message }) => ({ id: String(message) }));
      const again = await clock.deferred(id, 2);
      expect(again.at).toBeLessThan(Date.now() - 47 * hourMs);
      expect(again.nextAt - again.at).toBeLessThan(6_000);
      expect(await clock.nextAttemptAt(first.id)).toBeLessThanOrEqual(Date.now() - 48 * hourMs + hourMs);

      await clock.site.stop();
      clock.setClock("-4d");
      await clock.site.up();
      for (const waiting of [first.id, id])
        expect(await clock.nextAttemptAt(waiting)).toBeLessThanOrEqual(Date.now() - 96 * hourMs + hourMs);
      const peer = await RecordingPeer.start(clock.peerPort);
      try {
        clock.setClock("-94h");
        expect(await arrived(peer, [first.marker, across], noticedWithinMs)).toEqual([1, 1]);
        await clock.site.drained();
      } finally {
        await peer.close();
      }
      clock.expectNothingLost();
    } finally {
      await clock.remove();
    }
  });

  test.concurrent("goes to and fro while mail is taken and delivered: each message arrives once", {
    timeout: 120_000,
  }, async () => {
    const clock = await ClockSite.start("5s");
    const peer = await RecordingPeer.start(clock.peerPort);
    try {
      const markers: string[] = [];
      for (const offset of ["+2d", "-2d", "+0", "-1h", "+2d", "+0"]) {
        clock.setClock(offset);
        for (let i = 0; i < 5; i++) markers.push((await clock.send()).marker);
        await sleep(100);
      }
      expect(await arrived(peer, markers, noticedWithinMs)).toEqual(markers.map(() => 1));
      await clock.site.drained();
      clock.expectNothingLost();
    } finally {
      await peer.close();
      await clock.remove();
    }
  });
});
