/** Clients that programs and people send mail with: msmtp, Python's smtplib, nodemailer, curl. In the clear, over TLS, logged in, by LMTP where they can. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
import { WireTap } from "../support/peers/wire-tap.ts";
import { runProgram } from "../support/site.ts";
import { requireTool } from "../support/tools.ts";

interface Way {
  readonly why: string;
  readonly listener: InteropListener;
  readonly security: "none" | "starttls" | "implicit";
  readonly protocol: string;
  readonly mechanism?: "PLAIN" | "LOGIN" | "SCRAM-SHA-256";
}

const clear: Way = { why: "in the clear", listener: "clear", security: "none", protocol: "ESMTP" };
const encrypted: readonly Way[] = [
  { why: "by STARTTLS", listener: "starttls", security: "starttls", protocol: "ESMTPS" },
  { why: "by TLS from the first octet", listener: "implicit", security: "implicit", protocol: "ESMTPS" },
  { why: "logged in by PLAIN", listener: "submission", security: "starttls", protocol: "ESMTPSA", mechanism: "PLAIN" },
  { why: "logged in by LOGIN", listener: "submissions", security: "implicit", protocol: "ESMTPSA", mechanism: "LOGIN" },
];
const scram: Way = {
  ...{ why: "logged in by SCRAM-SHA-256", listener: "submission", security: "starttls", protocol: "ESMTPSA" },
  mechanism: "SCRAM-SHA-256",
};
const lmtp: Way = { why: "by LMTP", listener: "lmtp", security: "none", protocol: "LMTP" };

let site: InteropSite;
beforeAll(async () => {
  site = await InteropSite.start();
});
afterAll(() => site?.remove());

/** Sends a message to `to` at a port of `localhost`; throws where the client says it was not taken. */
type Send = (message: SampleMail, how: Way & { readonly port: number; readonly to: string }) => Promise<void>;

/** What every client has to do: each way with one message, and every message one way. */
function sendsEverything(client: string, send: Send, ways: readonly Way[]): void {
  const to = `${client}@example.test`;
  test.each(ways)("sends $why", async (way) => {
    const sample = plainSample(`${client}-${way.why.replaceAll(" ", "-")}`);
    await send(sample, { ...way, port: site.ports[way.listener], to });
    const received = await site.received(sample.id);
    expect(difference(sample, received)).toBeNull();
    expect(traceOf(received)[2]).toMatch(new RegExp(` with ${way.protocol} id `));
  });
  test("sends every message as it was", async () => {
    for (const sample of [...sampleMails(client), largeSample(client)]) {
      await send(sample, { ...clear, port: site.ports.clear, to });
      expect(difference(sample, await site.received(sample.id))).toBeNull();
    }
  });
}

/** Sends through a tap. Gives what the client said. */
async function said(send: Send, sample: SampleMail, to = "tapped@example.test"): Promise<string> {
  const tap = await WireTap.to(site.ports.clear);
  try {
    await send(sample, { ...clear, port: tap.port, to });
    expect(difference(sample, await site.received(sample.id))).toBeNull();
    return tap.sessionWith(sample.id).client;
  } finally {
    await tap.close();
  }
}

describeWith(["msmtp"], "msmtp", () => {
  const sendWith =
    (more: readonly string[]): Send =>
    async ({ octets }, { port, security, protocol, mechanism, to }) => {
      const settings = [
        ...["defaults", "account test", "host localhost", `port ${port}`, "domain msmtp.example"],
        `protocol ${protocol === "LMTP" ? "lmtp" : "smtp"}`,
        ...(security === "none" ? [] : ["tls on", `tls_trust_file ${certificateFile}`]),
        `tls_starttls ${security === "starttls" ? "on" : "off"}`,
        ...(mechanism
          ? [`auth ${mechanism.toLowerCase()}`, `user ${account.name}`, `password "${account.password}"`]
          : []),
      ];
      const file = join(site.site.folder, "msmtprc");
      writeFileSync(file, `${settings.join("\n")}\n`);
      chmodSync(file, 0o600);
      const args = ["-C", file, "-a", "test", "-f", "sender@example.org", ...more, "--", to];
      const input = Buffer.from(octets.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
      const { status, stderr } = await runProgram(requireTool("msmtp"), args, { input });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    };
  sendsEverything("msmtp", sendWith([]), [clear, ...encrypted, scram, lmtp]);

  test("says what a DSN is to be about", async () => {
    const client = await said(sendWith(["-N", "failure,delay", "-R", "full"]), plainSample("msmtp-dsn"));
    expect(client).toMatch(/^MAIL FROM:<sender@example\.org> RET=FULL\r$/m);
    expect(client).toMatch(/^RCPT TO:<tapped@example\.test> NOTIFY=FAILURE,DELAY\r$/m);
  });
});

describeWith(["python3"], "Python's smtplib", () => {
  const sendWith =
    (mailOptions: readonly string[], rcptOptions: readonly string[]): Send =>
    async ({ octets }, { port, security, protocol, mechanism, to }) => {
      const file = join(site.site.folder, "message");
      writeFileSync(file, octets);
      const program = `
import json, smtplib, ssl
how = json.loads(${JSON.stringify(
        JSON.stringify({
          port,
          security,
          protocol,
          mechanism: mechanism ?? null,
          to,
          mailOptions,
          rcptOptions,
          ...account,
          file,
          certificateFile,
        }),
      )})
trust = ssl.create_default_context(cafile=how["certificateFile"])
if how["protocol"] == "LMTP":
    server = smtplib.LMTP("localhost", how["port"], local_hostname="smtplib.example")
elif how["security"] == "implicit":
    server = smtplib.SMTP_SSL("localhost", how["port"], local_hostname="smtplib.example", context=trust)
else:
    server = smtplib.SMTP("localhost", how["port"], local_hostname="smtplib.example")
with server:
    if how["security"] == "starttls":
        server.starttls(context=trust)
    server.ehlo_or_helo_if_needed()
    if how["mechanism"]:
        server.user, server.password = how["name"], how["password"]
        server.auth(how["mechanism"], getattr(server, "auth_" + how["mechanism"].lower()))
    refused = server.sendmail("sender@example.org", [how["to"]], open(how["file"], "rb").read(), how["mailOptions"], how["rcptOptions"])
    assert refused == {}, refused
`;
      const { status, stderr } = await runProgram(requireTool("python3"), ["-"], { input: program });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    };
  sendsEverything("smtplib", sendWith([], []), [clear, ...encrypted, lmtp]);

  test("sends to an international address by SMTPUTF8", async () => {
    const client = await said(sendWith(["SMTPUTF8"], []), plainSample("smtplib-utf8"), "ünïcode@example.test");
    expect(client).toMatch(/^mail FROM:<sender@example\.org> size=\d+ SMTPUTF8\r$/m);
  });

  test("says what a DSN is to be about", async () => {
    const send = sendWith(["RET=HDRS", "ENVID=one+3Dtwo"], ["NOTIFY=NEVER"]);
    const client = await said(send, plainSample("smtplib-dsn"));
    expect(client).toMatch(/ RET=HDRS ENVID=one\+3Dtwo\r\nrcpt TO:<tapped@example\.test> NOTIFY=NEVER\r$/m);
  });
});

describe("nodemailer", () => {
  const sendWith =
    (more: Readonly<Record<string, unknown>>): Send =>
    async ({ octets }, { port, security, protocol, mechanism, to }) => {
      const transport = createTransport({
        ...{ host: "localhost", port, name: "nodemailer.example", lmtp: protocol === "LMTP" },
        secure: security === "implicit",
        requireTLS: security === "starttls",
        tls: { ca: readFileSync(certificateFile) },
        ...(mechanism && { authMethod: mechanism, auth: { user: account.name, pass: account.password } }),
      });
      try {
        const info = await transport.sendMail({ envelope: { from: "sender@example.org", to, ...more }, raw: octets });
        expect(info.rejected).toEqual([]);
      } finally {
        transport.close();
      }
    };
  sendsEverything("nodemailer", sendWith({}), [clear, ...encrypted, lmtp]);

  test("sends to an international address by SMTPUTF8", async () => {
    const client = await said(sendWith({}), plainSample("nodemailer-utf8"), "ünïcode@example.test");
    expect(client).toMatch(/^MAIL FROM:<sender@example\.org> .*SMTPUTF8\r$/m);
  });

  test("says what a DSN is to be about", async () => {
    const dsn = { id: "one=two", return: "headers", notify: ["failure", "delay"], recipient: "first@example.org" };
    const client = await said(sendWith({ dsn }), plainSample("nodemailer-dsn"));
    expect(client).toMatch(/^MAIL FROM:<sender@example\.org> RET=HDRS ENVID=one\+3Dtwo\r$/m);
    expect(client).toMatch(/^RCPT TO:<tapped@example\.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;first@example\.org\r$/m);
  });
});

describeWith(["curl"], "curl", () => {
  const send: Send = async ({ octets }, { port, security, mechanism, to }) => {
    const { status, stderr } = await runProgram(
      requireTool("curl"),
      [
        ...["-sS", `${security === "implicit" ? "smtps" : "smtp"}://localhost:${port}/curl.example`],
        ...["--mail-from", "sender@example.org", "--mail-rcpt", to, "--upload-file", "-", "--cacert", certificateFile],
        ...(security === "starttls" ? ["--ssl-reqd"] : []),
        ...(mechanism ? ["--user", `${account.name}:${account.password}`, "--login-options", `AUTH=${mechanism}`] : []),
      ],
      { input: octets },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  };
  sendsEverything("curl", send, [clear, ...encrypted]);

  test("sends to an international address by SMTPUTF8", async () => {
    const client = await said(send, plainSample("curl-utf8"), "ünïcode@example.test");
    expect(client).toMatch(/^MAIL FROM:<sender@example\.org>.* SMTPUTF8\r$/m);
  });
});
