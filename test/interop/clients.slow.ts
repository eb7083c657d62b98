/** Clients that people use, each of which delivers to a running site: swaks, curl, smtp-source, Python's smtplib, nodemailer. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeWith } from "../support/describe-with.ts";
import { runProgram, Site } from "../support/site.ts";
import { requireTool } from "../support/tools.ts";

const script = `import type { ArrivalHandler } from "onarrival";

export const onArrival: ArrivalHandler = (mail) => {
  mail.headers.add("X-Client", mail.session.helo);
};
`;

let site: Site;
beforeAll(async () => {
  site = await Site.start({ scripts: { "client.ts": script } });
});
afterAll(() => site?.remove());

describeWith(["swaks"], "swaks", () => {
  test("delivers a message with an attachment, lines with a leading dot kept", async () => {
    const file = join(site.folder, "notes.txt");
    writeFileSync(file, "noted\n");
    const { status, stdout } = await runProgram(requireTool("swaks"), [
      ...["--server", "127.0.0.1", "--port", String(site.smtpPort), "--helo", "swaks.example"],
      ...["--from", "sender@example.org", "--to", "swaks@example.test"],
      ...[
        "--header",
        "Subject: by swaks",
        "--body",
        "first\n.second\n..third",
        "--attach-name",
        "notes.txt",
        "--attach",
        file,
      ],
    ]);
    expect(stdout).toMatch(/<[-~]+\s+250 2\.0\.0 queued as [0-9A-Z]{16}/);
    expect(status).toBe(0);
    const message = await deliveredTo("swaks");
    expect(message).toMatch(/^Subject: by swaks\r$/m);
    expect(message).toMatch(/^X-Client: swaks\.example\r$/m);
    expect(message).toContain("\r\nfirst\r\n.second\r\n..third\r\n");
    expect(message).toMatch(/filename="?notes\.txt/);
  });
});

describeWith(["curl"], "curl", () => {
  test("delivers a file", async () => {
    const mail = "From: <sender@example.org>\r\nTo: <curl@example.test>\r\nSubject: by curl\r\n\r\nThe text.\r\n";
    const { status, stderr } = await runProgram(
      requireTool("curl"),
      [
        "-sS",
        `smtp://127.0.0.1:${site.smtpPort}/curl.example`,
        "--mail-from",
        "sender@example.org",
        "--mail-rcpt",
        "curl@example.test",
        "--upload-file",
        "-",
      ],
      { input: mail },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(await deliveredTo("curl")).toMatch(/Subject: by curl\r\nX-Client: curl\.example\r\n\r\nThe text\.\r\n$/);
  });
});

describeWith(["smtp-source"], "smtp-source", () => {
  test("delivers 40 messages over 4 sessions at once, every one whole", async () => {
    const { status, stderr } = await runProgram(requireTool("smtp-source"), [
      ...["-s", "4", "-m", "40", "-l", "5000", "-M", "source.example"],
      ...["-f", "sender@example.org", "-t", "source@example.test", `inet:127.0.0.1:${site.smtpPort}`],
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const files = await site.delivered("source", 40);
    expect(files).toHaveLength(40);
    const bodies = new Set(
      files.map((file) => readFileSync(file, "latin1").split("\r\n\r\n").slice(1).join("\r\n\r\n")),
    );
    expect(bodies.size).toBe(1);
    expect([...bodies][0]!.length).toBeGreaterThan(4_000);
  });
});

describeWith(["python3"], "Python's smtplib", () => {
  test("delivers a message of UTF-8 text and says what the server answered", async () => {
    const program = `
import smtplib, sys
from email.message import EmailMessage
mail = EmailMessage()
mail["From"], mail["To"], mail["Subject"] = "sender@example.org", "smtplib@example.test", "Grüße von smtplib"
mail.set_content("Straße\\n.\\nEnde\\n")
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname="smtplib.example") as server:
    refused = server.send_message(mail)
    assert refused == {}, refused
    try:
        server.sendmail("sender@example.org", ["who@elsewhere.example"], "Subject: relay\\r\\n\\r\\n")
    except smtplib.SMTPRecipientsRefused as error:
        print(error.recipients["who@elsewhere.example"][0])
`;
    const { status, stdout, stderr } = await runProgram(requireTool("python3"), ["-", String(site.smtpPort)], {
      input: program,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.trim()).toBe("550");
    const message = await deliveredTo("smtplib");
    expect(message).toMatch(/^X-Client: smtplib\.example\r$/m);
    expect(message).toMatch(/\r\n\r\n(Stra=C3=9Fe|Straße|U3RyYcOfZQ)/);
  });
});

describe("nodemailer", () => {
  test("delivers a message with text, HTML and attachment over one pooled connection", async () => {
    const transport = createTransport({
      host: "127.0.0.1",
      port: site.smtpPort,
      name: "nodemailer.example",
      pool: true,
      maxConnections: 1,
      ignoreTLS: true,
    });
    try {
      for (const subject of ["one", "two"]) {
        const info = await transport.sendMail({
          from: "sender@example.org",
          to: "nodemailer@example.test",
          subject,
          text: "The text",
          html: "<p>The text</p>",
          attachments: [{ filename: "a.bin", content: Buffer.alloc(2_000, 7) }],
        });
        expect(info.response).toMatch(/^250 2\.0\.0 queued as [0-9A-Z]{16}$/);
      }
    } finally {
      transport.close();
    }
    const files = await site.delivered("nodemailer", 2);
    const messages = files.map((file) => readFileSync(file, "latin1"));
    expect(messages.map((message) => /^Subject: (.*)\r$/m.exec(message)?.[1]).sort()).toEqual(["one", "two"]);
    for (const message of messages) {
      expect(message).toMatch(/^X-Client: \[?nodemailer\.example\]?\r$/m);
      expect(message).toContain(Buffer.alloc(57, 7).toString("base64"));
    }
  });
});

async function deliveredTo(user: string): Promise<string> {
  const [file] = await site.delivered(user);
  return readFileSync(file!, "utf8");
}
