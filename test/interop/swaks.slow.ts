/** swaks, the tester's client: every way into OnArrival that it knows, with PRDR, XCLIENT and PROXY among them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { account, type InteropListener, InteropSite } from "../support/peers/interop-site.ts";
import {
  difference,
  largeSample,
  plainSample,
  type SampleMail,
  sampleMails,
  traceOf,
} from "../support/peers/sample-mail.ts";
import { certificateFile } from "../support/peers/tls-files.ts";
import { type Finished, runProgram } from "../support/site.ts";
import { stuffDots } from "../support/smtp-client.ts";
import { requireTool } from "../support/tools.ts";

describeWith(["swaks"], "swaks", () => {
  let site: InteropSite;
  beforeAll(async () => {
    site = await InteropSite.start();
  });
  afterAll(() => site?.remove());

  /** Sends one message with these arguments besides. */
  function swaks(listener: InteropListener, sample: SampleMail, args: readonly string[]): Promise<Finished> {
    const file = join(site.site.folder, "message");
    writeFileSync(file, Buffer.concat([stuffDots(sample.octets), Buffer.from(".")])); // Sent as it stands.
    const server = ["--server", "localhost", "-4", "--port", String(site.ports[listener]), "--helo", "swaks.example"];
    return runProgram(requireTool("swaks"), [
      ...server,
      "--from",
      "sender@example.org",
      "--no-data-fixup",
      "--data",
      `@${file}`,
      ...args,
    ]);
  }

  const to = ["--to", "swaks@example.test"];
  const verified = ["--tls-verify", "--tls-ca-path", certificateFile];
  const login = ["--auth-user", account.name, "--auth-password", account.password];
  const ways: readonly { why: string; listener: InteropListener; args: readonly string[]; protocol: string }[] = [
    { why: "in the clear", listener: "clear", args: [], protocol: "ESMTP" },
    { why: "by HELO", listener: "clear", args: ["--protocol", "SMTP"], protocol: "SMTP" },
    { why: "pipelined", listener: "clear", args: ["--pipeline"], protocol: "ESMTP" },
    { why: "by STARTTLS", listener: "starttls", args: ["--tls", ...verified], protocol: "ESMTPS" },
    { why: "by STARTTLS, pipelined", listener: "starttls", args: ["--tls", "--pipeline"], protocol: "ESMTPS" },
    { why: "by TLS from the first octet", listener: "implicit", args: ["--tlsc", ...verified], protocol: "ESMTPS" },
    { why: "by LMTP", listener: "lmtp", args: ["--protocol", "LMTP"], protocol: "LMTP" },
    { why: "by LMTP with STARTTLS", listener: "lmtps", args: ["--protocol", "LMTPS"], protocol: "LMTPS" },
    {
      why: "logged in by PLAIN",
      listener: "submission",
      args: ["--tls", "--auth", "PLAIN", ...login],
      protocol: "ESMTPSA",
    },
    {
      why: "logged in by LOGIN",
      listener: "submission",
      args: ["--tls", "--auth", "LOGIN", ...login],
      protocol: "ESMTPSA",
    },
    {
      why: "logged in over TLS from the first octet",
      listener: "submissions",
      args: ["--tlsc", "--auth", "PLAIN", ...login],
      protocol: "ESMTPSA",
    },
  ];
  test.each(ways)("delivers $why", async ({ why, listener, args, protocol }) => {
    const sample = plainSample(`swaks-${why.replaceAll(" ", "-")}`);
    const { status, stdout, stderr } = await swaks(listener, sample, [...to, ...args]);
    expect({ status, stderr, stdout }).toMatchObject({ status: 0, stderr: "" });
    const received = await site.received(sample.id);
    expect(difference(sample, received)).toBeNull();
    expect(traceOf(received)[2]).toMatch(new RegExp(`^Received: from swaks\\.example .* with ${protocol} id `));
  });

  test("delivers every message as it was", async () => {
    for (const sample of [...sampleMails("swaks"), largeSample("swaks")]) {
      const { status, stdout } = await swaks("clear", sample, to);
      expect({ status, stdout: stdout.slice(-500) }).toMatchObject({ status: 0 });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
    }
  });

  test("is not let in with a wrong password", async () => {
    const wrong = ["--auth", "PLAIN", "--auth-user", account.name, "--auth-password", "wrong"];
    const { status, stdout } = await swaks("submission", plainSample("swaks-wrong"), [...to, "--tls", ...wrong]);
    expect(stdout).toMatch(/^<~\* 535 5\.7\.8 /m);
    expect(status).toBe(28);
  });

  test("hears by PRDR which of two recipients is refused", async () => {
    const sample = plainSample("swaks-prdr");
    const both = ["--to", "taken@example.test,refused@example.test", "--prdr"];
    const { stdout } = await swaks("clear", sample, both);
    expect(stdout).toMatch(/^ -> MAIL FROM:<sender@example\.org> PRDR$/m);
    expect(stdout).toMatch(/^<- +353 .*\n<- +250 .*\n<\*\* 550 5\.7\.1 Not this one\n<- +250 /m);
    expect(difference(sample, await site.received(sample.id))).toBeNull();
  });

  test("says by XCLIENT who the client is", async () => {
    const sample = plainSample("swaks-xclient");
    const names = ["--xclient-name", "client.example.org", "--xclient-helo", "inner.example"];
    const { status, stdout } = await swaks("trusting", sample, [...to, "--xclient-addr", "192.0.2.7", ...names]);
    expect({ status, stdout }).toMatchObject({ status: 0 });
    const received = await site.received(sample.id);
    expect(traceOf(received)[2]).toMatch(/^Received: from swaks\.example \(client\.example\.org \[192\.0\.2\.7\]\) /);
  });

  test("is not offered XCLIENT where it is not trusted", async () => {
    const asked = ["--xclient-addr", "192.0.2.7"];
    const { status, stdout } = await swaks("clear", plainSample("swaks-untrusted"), [...to, ...asked]);
    expect(status).not.toBe(0);
    expect(stdout).not.toMatch(/XCLIENT/);
  });

  const proxied = ["--proxy-source-port", "4711", "--proxy-dest-port", "25"];
  test.each([
    { why: "1", family: "TCP4", source: "192.0.2.7", dest: "198.51.100.1", shown: "[192.0.2.7]" },
    { why: "1", family: "TCP6", source: "2001:db8::7", dest: "2001:db8::1", shown: "[IPv6:2001:db8::7]" },
    { why: "2", family: "AF_INET", source: "192.0.2.7", dest: "198.51.100.1", shown: "[192.0.2.7]" },
    { why: "2", family: "AF_INET6", source: "2001:db8::7", dest: "2001:db8::1", shown: "[IPv6:2001:db8::7]" },
  ])("says who the client is by PROXY version $why, $family", async ({ why, family, source, dest, shown }) => {
    const sample = plainSample(`swaks-proxy-${family}`);
    const header = ["--proxy-version", why, "--proxy-family", family, "--proxy-source", source, "--proxy-dest", dest];
    const { status, stdout } = await swaks("proxied", sample, [...to, ...header, ...proxied]);
    expect({ status, stdout }).toMatchObject({ status: 0 });
    expect(traceOf(await site.received(sample.id))[2]).toContain(`Received: from swaks.example (${shown}) `);
  });

  test("is not greeted without a PROXY header where one has to come", async () => {
    const { status, stdout } = await swaks("proxied", plainSample("swaks-no-proxy"), [...to, "--timeout", "2"]);
    expect(status).not.toBe(0);
    expect(stdout).not.toMatch(/220 /);
  });
});
