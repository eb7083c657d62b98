/** `onarrival submit` and `onarrival route`: the request they make, over a real socket, and what they say of the answer. */
import { writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ControlServer } from "../../../src/admin/control.ts";
import { controlSocketName } from "../../../src/admin/server-view.ts";
import { createSubmitApi, envelopeOctetsMax } from "../../../src/admin/submit-control.ts";
import { formatRoute } from "../../../src/cli/route.ts";
import { submit } from "../../../src/cli/submit.ts";
import { submitMail } from "../../../src/cli/submit-server.ts";
import { fakeRouteControl, fakeSubmitControl, firstId, routeView } from "../../support/operator-controls.ts";
import { createOperatorSite } from "../../support/operator-site.ts";
import { plainOutput } from "../../support/terminal.ts";

let site: ReturnType<typeof createOperatorSite>;
let server: ControlServer;
beforeEach(async () => {
  site = createOperatorSite();
  server = await site.serve();
});
afterEach(async () => {
  await server.close();
  site.remove();
});

const mail = "From: ann@example.test\nTo: bob@example.org\nBcc: eve@example.net\n\nhello\n";

describe("onarrival submit", () => {
  beforeEach(() => writeFileSync(join(site.folder, "mail.eml"), mail));

  test.each<[why: string, argv: string[], from: string, to: string[]]>([
    ["sends to whom the header says", [], "ann@example.test", ["bob@example.org", "eve@example.net"]],
    ["sends to whom it is told", ["--to", "x@example.com", "--from", "<>"], "<>", ["x@example.com"]],
    [
      "sends to both",
      ["--to", "x@example.com", "-t"],
      "ann@example.test",
      ["x@example.com", "bob@example.org", "eve@example.net"],
    ],
  ])("%s", async (_why, argv, from, to) => {
    expect(await site.run("submit", "mail.eml", ...argv)).toEqual({ status: 0, out: `${firstId}\n`, err: "" });
    expect(site.submit.mails).toMatchObject([{ origin: "submit", from, to, octets: mail }]);
  });

  test("takes Bcc out where the header names the recipients", async () => {
    await site.run("submit", "mail.eml");
    await site.run("submit", "mail.eml", "--to", "x@example.com");
    expect(site.submit.mails.map(({ headerNames }) => headerNames)).toEqual([
      ["From", "To"],
      ["From", "To", "Bcc"],
    ]);
  });

  test("reads standard input", async () => {
    const context = site.context();
    expect(await submit("-", { to: ["x@example.com"], json: true }, context, Readable.from([Buffer.from(mail)]))).toBe(
      0,
    );
    expect(JSON.parse(context.outText())).toEqual({ kind: "accepted", id: firstId });
    expect(site.submit.mails[0]!.octets).toBe(mail);
  });

  test.each<[why: string, argv: string[], words: RegExp]>([
    ["a file that is not there", ["none.eml"], /Cannot read none\.eml: there is no such file/],
    ["a folder", ["."], /it is a folder/],
    ["a recipient that is none", ["mail.eml", "--to", "nobody"], /local-part@domain/],
  ])("refuses %s with exit 2", async (_why, argv, words) => {
    const { status, out, err } = await site.run("submit", ...argv);
    expect([status, out]).toEqual([2, ""]);
    expect(err).toMatch(words);
    expect(site.submit.mails).toEqual([]);
  });

  test("exits 1 with the reply where it is refused, 3 where no server runs", async () => {
    const reply = { code: 550, status: "5.7.1", text: "Not here\u001b[2J" };
    const refusing = createOperatorSite({
      submit: fakeSubmitControl({ submit: async () => ({ kind: "refused", reply, reason: "a rule" }) }),
    });
    const other = await refusing.serve();
    writeFileSync(join(refusing.folder, "mail.eml"), mail);
    expect(await refusing.run("submit", "mail.eml")).toEqual({
      status: 1,
      out: "",
      err: "Refused: 550 5.7.1 Not here (a rule)\n",
    });
    await other.close();
    expect((await refusing.run("submit", "mail.eml")).status).toBe(3);
    refusing.remove();
  });

  test("hears an early no while it still writes", async () => {
    const reply = { code: 552, status: "5.3.4", text: "Too large" };
    const refusing = createOperatorSite({
      submit: fakeSubmitControl({ submit: async () => ({ kind: "refused", reply, reason: "Too large" }) }),
    });
    const other = await refusing.serve();
    writeFileSync(join(refusing.folder, "large.eml"), Buffer.alloc(8 * 1024 * 1024, "x\n"));
    expect((await refusing.run("submit", "large.eml", "--to", "x@example.com")).err).toBe(
      "Refused: 552 5.3.4 Too large\n",
    );
    await other.close();
    refusing.remove();
  });

  test("a client that goes away in the middle is an error of the octets, and not their end", async () => {
    await new Promise<void>((resolve) => {
      const asked = request({
        socketPath: join(site.data, controlSocketName),
        path: "/api/v1/submit",
        method: "POST",
        headers: { Host: "localhost", "Transfer-Encoding": "chunked" },
      });
      asked.on("error", () => resolve());
      asked.write(`${JSON.stringify({ from: "a@b.test", to: ["x@example.com"] })}\nSubject: half`, () =>
        asked.destroy(),
      );
      asked.on("close", () => resolve());
    });
    await expect.poll(() => site.submit.aborted.length).toBe(1);
    expect(site.submit.mails).toEqual([]);
  });

  test("what the input throws comes back, and the server keeps nothing", async () => {
    async function* broken() {
      yield Buffer.from("Subject: half");
      throw new Error("the disk is gone");
    }
    const envelope = { from: null, to: ["x@example.com"], origin: "submit", user: null } as const;
    await expect(submitMail({ data: site.data, cwd: site.folder }, envelope, broken())).rejects.toThrow(
      "the disk is gone",
    );
    expect(site.submit.mails).toEqual([]);
  });
});

test("submitMail waits for a program that takes its time over the message, and for a silent server no longer than it says", async () => {
  const envelope = { from: "a@b.test", to: ["c@d.test"], origin: "submit", user: null } as const;
  const to = { data: site.data, cwd: site.folder };
  const slow = async function* () {
    yield Buffer.from("A: b\n\n");
    await new Promise((resolve) => setTimeout(resolve, 150));
    yield Buffer.from("hello\n");
  };
  expect(await submitMail(to, envelope, slow(), { silenceMs: 30 })).toEqual({ kind: "accepted", id: firstId });
  await server.close();
  const silent = createServer().listen(join(site.data, controlSocketName));
  await expect(submitMail(to, envelope, [Buffer.from("A: b\n")], { silenceMs: 30 })).rejects.toThrow(
    /no answer within/,
  );
  silent.close();
});

describe("createSubmitApi", () => {
  const post = async (body: string | Buffer) => {
    const control = fakeSubmitControl();
    const response = await createSubmitApi(control).request("/api/v1/submit", {
      method: "POST",
      body: new Uint8Array(Buffer.from(body)),
    });
    return { status: response.status, answer: (await response.json()) as { error?: string }, mails: control.mails };
  };

  test("hands on which reports are wanted", async () => {
    const envelope = {
      from: "a@b.test",
      to: ["c@d.test"],
      notify: ["success", "delay"],
      ret: "HDRS",
      envelopeId: "x1",
      user: "ann",
      origin: "sendmail",
    };
    expect((await post(`${JSON.stringify(envelope)}\nA: b\n\n`)).mails).toMatchObject([
      {
        origin: "sendmail",
        user: "ann",
        options: { ret: "HDRS", envelopeId: "x1" },
        recipientOptions: { notify: ["success", "delay"] },
      },
    ]);
  });

  test.each([
    ["as long as it may be", 0, 200],
    ["one octet longer", 1, 400],
  ])("reads an envelope that comes octet by octet, %s", async (_why, more, expected) => {
    const line = JSON.stringify({ from: "a@b.test", to: ["c@d.test"], pad: "" });
    const pad = "x".repeat(envelopeOctetsMax + more - line.length);
    const octets = Buffer.from(`${line.slice(0, -2)}${pad}"}\nA: b\n\n`);
    const control = fakeSubmitControl();
    const pieces = function* () {
      for (let at = 0; at < octets.length; at += 8) yield octets.subarray(at, at + 8);
    };
    const response = await createSubmitApi(control).request(
      new Request("http://localhost/api/v1/submit", {
        method: "POST",
        body: ReadableStream.from(pieces()),
        duplex: "half",
      } as RequestInit),
    );
    expect(response.status).toBe(expected);
  });

  test.each<[why: string, body: string, words: RegExp]>([
    ["nothing", "", /expected a line with the envelope/],
    ["no JSON", "From: a\n\n", /no JSON/],
    ["an envelope without end", "x".repeat(envelopeOctetsMax + 1), /one line of at most/],
    ["nobody to send to", '{"from":"a@b.test","to":[]}\n', /from 1 to 10000 addresses/],
    ["a sender that is none", '{"from":"a","to":["c@d.test"]}\n', /local-part@domain/],
    ["an origin there is not", '{"from":"a@b.test","to":["c@d.test"],"origin":"release"}\n', /submit or sendmail/],
    ["a report there is not", '{"from":"a@b.test","to":["c@d.test"],"notify":["often"]}\n', /never stands alone/],
    ["never and something", '{"from":"a@b.test","to":["c@d.test"],"notify":["never","delay"]}\n', /never stands alone/],
    ["no reports at all of no kind", '{"from":"a@b.test","to":["c@d.test"],"notify":[]}\n', /expected some of/],
    ["half a message as report", '{"from":"a@b.test","to":["c@d.test"],"ret":"HALF"}\n', /FULL or HDRS/],
  ])("refuses %s", async (_why, body, words) => {
    const { status, answer, mails } = await post(body);
    expect([status, mails]).toEqual([400, []]);
    expect(answer.error).toMatch(words);
  });
});

describe("onarrival route", () => {
  test("asks for each address and shows a tree", async () => {
    const { status, out } = await site.run("route", "Team@Example.test", "x@example.org", "--from", "<>");
    expect(status).toBe(0);
    expect(site.route.asked).toEqual([
      ["Team@example.test", { from: "<>" }],
      ["x@example.org", { from: "<>" }],
    ]);
    expect(out).toContain("\n\nx@example.org\n├─ ");
    expect(formatRoute(routeView, plainOutput).split("\n")).toEqual([
      "team@example.test",
      "├─ an alias of two  by server/categorizer",
      "├─ ann@example.test",
      "│  └─ maildir  by local domain  destination local",
      "└─ bob@example.org",
      "   └─ mx  by remote  destination mx:example.org",
      "      ├─ mx1.example.org  192.0.2.1, 2001:db8::1  TLS: dane",
      "      └─ mx2.example.org  no address  TLS: opportunistic",
      "",
    ]);
  });

  test("exits 2 for what is no address, 1 where mail would fail", async () => {
    const wrong = await site.run("route", "nobody");
    expect([wrong.status, wrong.err]).toEqual([2, expect.stringContaining('"nobody" is no address')]);
    const failing = createOperatorSite({
      route: fakeRouteControl({
        route: async (address) => ({ ...routeView, address, expandedTo: [], error: "550 5.1.1 Unknown" }),
      }),
    });
    const other = await failing.serve();
    const result = await failing.run("route", "x@example.test", "--json");
    expect([result.status, JSON.parse(result.out).error]).toEqual([1, "550 5.1.1 Unknown"]);
    await other.close();
    failing.remove();
  });
});
