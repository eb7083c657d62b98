/** Servers that can little, or fail: smtp-sink without one extension or another, with HELO alone, and one that does not take mail now. And smtp-source by LMTP. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { freePorts } from "../support/free-ports.ts";
import { Daemon } from "../support/peers/daemon.ts";
import { InteropSite } from "../support/peers/interop-site.ts";
import { difference, findMail, largeSample, plainSample, sampleMails } from "../support/peers/sample-mail.ts";
import { submit } from "../support/peers/submit.ts";
import { WireTap } from "../support/peers/wire-tap.ts";
import { runProgram } from "../support/site.ts";
import { requireTool } from "../support/tools.ts";

let site: InteropSite;
let out: WireTap;
beforeAll(async () => {
  out = await WireTap.to(0);
  site = await InteropSite.start({ smarthost: `host = "localhost"\nport = ${out.port}` });
});
afterAll(async () => {
  await site?.remove();
  await out?.close();
});

describeWith(["smtp-sink"], "smtp-sink", () => {
  let folder: string;
  let sinks: Daemon[];
  beforeEach(() => {
    sinks = [];
    folder = mkdtempSync(join(tmpdir(), "onarrival-sink-"));
    mkdirSync(join(folder, "mail"));
    for (const path of [folder, join(folder, "mail")]) chmodSync(path, 0o777); // It does not stay root.
  });
  afterEach(async () => {
    for (const sink of sinks) await sink.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Starts one and leads our mail to it. */
  async function leadToSink(args: readonly string[]): Promise<void> {
    const [port] = await freePorts(1);
    const asUser = process.getuid?.() === 0 ? ["-u", "postfix"] : [];
    const keep = ["-h", "sink.test", "-d", join(folder, "mail/%M.")];
    const sink = new Daemon([requireTool("smtp-sink"), ...asUser, ...keep, ...args, `127.0.0.1:${port}`, "100"], {
      logFile: join(folder, "sink.log"),
      cwd: folder,
    });
    sinks.push(sink);
    await sink.listensOn([port!]);
    out.leadTo(port!);
  }

  /** What it took, without the line it ends its files with. Its files grow as the message comes: they are looked at when it said that it has it. */
  async function taken(id: string): Promise<Buffer> {
    const message = await acceptedAs(id);
    await site.site.logged(
      (line) => line.event === "delivery.delivered" && line.message === message,
      "of its delivery",
    );
    const octets = await findMail(join(folder, "mail/*"), id, () => site.words());
    return octets.subarray(0, -2);
  }

  /** Our own id of a message. */
  async function acceptedAs(id: string): Promise<unknown> {
    const accepted = await site.site.logged((line) => line.messageId === `<${id}>`, `of the acceptance of ${id}`);
    return accepted.message;
  }

  test.each([
    { why: "with PIPELINING and 8BITMIME", args: [], said: /^MAIL FROM:.*\r\nRCPT TO/m },
    { why: "without PIPELINING", args: ["-p"], said: /^EHLO onarrival\.test\r$/m },
    { why: "without 8BITMIME", args: ["-8"], said: /^MAIL FROM:<sender@example\.org>\r$/m },
    { why: "with HELO alone", args: ["-e"], said: /^HELO onarrival\.test\r$/m },
  ])("$why gets every message as it was", async ({ why, args, said }) => {
    await leadToSink(args);
    const name = `sink-${why.replaceAll(" ", "-")}`;
    const samples = [...sampleMails(name), largeSample(name)];
    await submit(site.ports.clear, { to: ["samples@sink.test"], samples });
    for (const sample of samples) expect(difference(sample, await taken(sample.id))).toBeNull();
    for (const { client } of out.used) expect(client).toMatch(said);
    if (args.includes("-p")) expect(out.sessions.some((session) => session.pipelined(/^MAIL/m, /^RCPT/m))).toBe(false);
  });

  test.each([
    { why: "defers at RCPT", args: ["-r", "RCPT"] },
    { why: "defers at the end of data", args: ["-r", "."] },
    { why: "hangs up at MAIL", args: ["-q", "MAIL"] },
    { why: "hangs up at the end of data, without a reply", args: ["-q", "."] },
    { why: "says 421 at DATA", args: ["-Q", "DATA"] },
  ])("that $why gets the message once it takes mail again", async ({ why, args }) => {
    await leadToSink(args);
    const sample = plainSample(`sink-${why.replaceAll(/[ ,]+/g, "-")}`);
    await submit(site.ports.clear, { to: ["later@sink.test"], samples: [sample] });
    const message = await acceptedAs(sample.id);
    await site.site.logged((line) => line.event === "delivery.deferred" && line.message === message, "of its deferral");
    await leadToSink([]);
    expect(difference(sample, await taken(sample.id))).toBeNull();
  });

  test("that refuses for good has the sender told", async () => {
    await leadToSink(["-f", "RCPT"]);
    const sample = plainSample("sink-refuses");
    await submit(site.ports.clear, { from: "refused@example.test", to: ["nobody@sink.test"], samples: [sample] });
    const report = (await site.receivedBy("refused", /report-type=/)).toString();
    expect(report).toMatch(/^Final-Recipient: rfc822; ?nobody@sink\.test\r$/m);
    expect(report).toMatch(/^Diagnostic-Code: smtp; ?5\d\d /m);
  });
});

describeWith(["smtp-source"], "smtp-source", () => {
  test("delivers 40 messages by LMTP over 4 sessions at once", async () => {
    const { status, stderr } = await runProgram(requireTool("smtp-source"), [
      ...["-L", "-s", "4", "-m", "40", "-l", "5000", "-M", "source.example"],
      ...["-f", "sender@example.org", "-t", "source@lmtp.test", `inet:127.0.0.1:${site.ports.lmtp}`],
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(await site.receivedIds("source", 40)).toHaveLength(40);
  });
});
