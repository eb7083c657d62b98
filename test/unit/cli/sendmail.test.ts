/** `onarrival sendmail`: to the running server, into the pickup folder where there is none, and as an SMTP session. */
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ControlServer } from "../../../src/admin/control.ts";
import { formatMailQueue, sendmail } from "../../../src/cli/sendmail.ts";
import { runCommand } from "../../support/command.ts";
import { deferredItem, fakeSubmitControl, heldItem } from "../../support/operator-controls.ts";
import { createOperatorSite } from "../../support/operator-site.ts";

let site: ReturnType<typeof createOperatorSite>;
let server: ControlServer | undefined;
beforeEach(() => {
  site = createOperatorSite();
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  site.remove();
});

const me = userInfo().username;
const text = "To: bob\nSubject: hello\n\nhi\n.\nnot this\n";

async function send(args: readonly string[], input = text) {
  const context = site.context();
  const status = await sendmail(args, context, Readable.from(linesOf(input)));
  return { status, out: context.outText(), err: context.errText() };
}

/** Line by line, as a client that waits for its answers. */
function linesOf(input: string): Buffer[] {
  return input.split(/(?<=\n)/).map((line) => Buffer.from(line));
}

describe("with a server", () => {
  beforeEach(async () => {
    server = await site.serve();
  });

  test("sends from the user at this machine, up to the dot, and says nothing", async () => {
    expect(await send(["root", "x@example.org"])).toEqual({ status: 0, out: "", err: "" });
    expect(site.submit.mails).toMatchObject([
      {
        origin: "sendmail",
        user: me,
        from: `${me}@host.example.org`,
        to: ["root@example.test", "x@example.org"],
        octets: `To: bob@example.test\nSubject: hello\nFrom: ${me}@host.example.org\r\n\nhi\n`,
      },
    ]);
  });

  test("takes sender, recipients of the header, and reports", async () => {
    await send(["-t", "-i", "-f", "ann@example.com", "-N", "never", "-R", "full", "-V", "id1"]);
    expect(site.submit.mails).toMatchObject([
      {
        from: "ann@example.com",
        to: ["bob@example.test"],
        options: { ret: "FULL", envelopeId: "id1" },
        recipientOptions: { notify: ["never"] },
      },
    ]);
    expect(site.submit.mails[0]!.octets).toMatch(/hi\n\.\nnot this\n$/);
  });

  test("a refusal is a line and an exit status", async () => {
    await server!.close();
    site.remove();
    const reply = { code: 550, status: "5.7.1", text: "Not from here" };
    site = createOperatorSite({
      submit: fakeSubmitControl({ submit: async () => ({ kind: "refused", reply, reason: "a rule" }) }),
    });
    server = await site.serve();
    mkdirSync(join(site.data, "pickup"));
    expect(await send(["x@example.org"])).toEqual({
      status: 69,
      out: "",
      err: "onarrival: not sent: 550 5.7.1 Not from here (a rule)\n",
    });
    expect(readdirSync(join(site.data, "pickup"))).toEqual([]);
  });

  test("-bp lists the queue, -q tries it, -bi has nothing to do", async () => {
    expect((await send(["-bp"])).out).toMatch(/^-----Queue ID---- .*\n0000000000000001 /);
    expect(await send(["-q"])).toEqual({ status: 0, out: "", err: "" });
    expect((await send(["-bi"])).status).toBe(0);
    expect(site.queue.asked.at(-1)).toEqual(["retry", {}, { dryRun: false }]);
  });

  test("-bs speaks SMTP, with a message for each transaction", async () => {
    const dialogue = [
      "EHLO there",
      "MAIL FROM:<ann@example.com> SIZE=10",
      "RCPT TO:<nobody@@x>",
      "RCPT TO:<bob@example.org> NOTIFY=NEVER",
      "RCPT TO:<bob@example.org>",
      "DATA",
      "Subject: one",
      "",
      "..dot",
      ".",
      "MAIL FROM:<>",
      "RSET",
      "MAIL FROM:<>",
      "RCPT TO:<root>",
      "DATA",
      "Subject: two",
      "",
      ".",
      "QUIT",
      "",
    ].join("\r\n");
    const { status, out, err } = await send(["-bs"], dialogue);
    expect([status, err]).toEqual([0, ""]);
    expect(
      out
        .split("\r\n")
        .map((line) => line.slice(0, 3))
        .filter((code, i, all) => code !== all[i - 1]),
    ).toEqual(["220", "250", "501", "555", "250", "354", "250", "354", "250", "221", ""]);
    expect(out).not.toMatch(/^250[ -](?:DSN|CHUNKING|PRDR|AUTH|STARTTLS)/m);
    expect(site.submit.mails).toMatchObject([
      {
        from: "ann@example.com",
        to: ["bob@example.org"],
        octets: "Subject: one\r\nFrom: ann@example.com\r\n\r\n.dot\r\n",
      },
      { from: "<>", to: ["root@example.test"], octets: "Subject: two\r\n\r\n" },
    ]);
  });
});

describe("without a server", () => {
  const pickup = () => join(site.data, "pickup");
  const left = () => readdirSync(pickup()).map((name) => ({ name, text: readFileSync(join(pickup(), name), "utf8") }));

  test("leaves the message in the pickup folder, whole and with its envelope", async () => {
    mkdirSync(pickup());
    expect(await send(["-f", "ann@example.com", "bob@example.org"])).toEqual({ status: 0, out: "", err: "" });
    expect(left()).toEqual([
      {
        name: expect.stringMatching(/^[0-9a-f]{24}\.eml$/),
        text: "X-Sender: ann@example.com\r\nX-Receiver: bob@example.org\r\nTo: bob@example.test\nSubject: hello\nFrom: ann@example.com\r\n\nhi\n",
      },
    ]);
    expect(statSync(join(pickup(), left()[0]!.name)).mode & 0o007).toBe(0);
  });

  test("does so in a session as well", async () => {
    mkdirSync(pickup());
    const { out } = await send(
      ["-bs"],
      "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nA: b\r\n\r\n.\r\nQUIT\r\n",
    );
    expect(out).toContain("250 2.0.0 left in the pickup folder\r\n");
    expect(left()).toHaveLength(1);
  });

  test("exits 75 where there is no such folder, and in a session says 451", async () => {
    const { status, err } = await send(["bob@example.org"]);
    expect([status, err]).toEqual([75, expect.stringContaining("No server is running")]);
    const { out } = await send(
      ["-bs"],
      "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nA: b\r\n\r\n.\r\nQUIT\r\n",
    );
    expect(out).toMatch(/^451 4\.3\.0 No server is running/m);
    expect((await send(["-bp"])).status).toBe(75);
  });

  test("exits 65 where the header was to name recipients and names none", async () => {
    mkdirSync(pickup());
    expect((await send(["-t"], "Subject: x\n\n")).status).toBe(65);
    expect(left()).toEqual([]);
  });

  test("exits 64 for wrong usage and 78 for a wrong configuration, 74 where the input breaks", async () => {
    expect((await send([])).status).toBe(64);
    expect((await send(["-C", "none.toml", "x@y.test"])).status).toBe(78);
    const broken = new Readable({
      read() {
        this.destroy(new Error("gone"));
      },
    });
    expect(await sendmail(["x@y.test"], site.context(), broken)).toBe(74);
  });
});

test("formatMailQueue prints as mailq does", () => {
  const lines = formatMailQueue([deferredItem, heldItem]).split("\n");
  expect(lines[1]).toMatch(/^0000000000000001 {7}2345 \w{3} \w{3} +\d+ \d\d:\d\d:\d\d {2}a@example\.com$/);
  expect(lines.slice(2, 4)).toEqual(["          (451 4.3.0 later)", `${" ".repeat(49)}c@example.org`]);
  expect(lines[5]).toMatch(/^0000000000000002! +700 .* MAILER-DAEMON$/);
  expect(lines.at(-2)).toBe("-- 3 Kbytes in 2 Requests.");
  expect(formatMailQueue([])).toBe("Mail queue is empty\n");
});

describe("onarrival-sendmail", () => {
  const launcher = join(import.meta.dirname, "../../../src/cli/sendmail-launch.mjs");
  const env = () => ({ ONARRIVAL_DATA: site.data });

  test("leaves a message for a server that is away, by its own name", async () => {
    mkdirSync(join(site.data, "pickup"));
    const result = await runCommand(["-i", "-f", "a@b.test", "c@d.test"], {
      cwd: site.folder,
      launcher,
      stdin: "A: b\n\n.\n",
      env: env(),
    });
    expect(result).toEqual({ status: 0, out: "", err: "" });
    expect(readdirSync(join(site.data, "pickup"))).toHaveLength(1);
  });

  test("is mailq under that name", async () => {
    server = await site.serve();
    symlinkSync(launcher, join(site.folder, "mailq"));
    const result = await runCommand([], { cwd: site.folder, launcher: join(site.folder, "mailq"), env: env() });
    expect([result.status, result.out]).toEqual([0, expect.stringContaining("in 2 Requests.")]);
  });

  test("gives its options to nobody else", async () => {
    const result = await runCommand(["-V", "id", "-h", "1"], { cwd: site.folder, launcher, env: env() });
    expect([result.status, result.out]).toEqual([64, ""]);
  });
});
