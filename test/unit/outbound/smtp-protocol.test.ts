import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EnvelopeOptions, RecipientOptions } from "../../../src/mail/envelope.ts";
import { inlineBody, type Message } from "../../../src/mail/message.ts";
import { eagerChunkOctetsMax } from "../../../src/outbound/smtp-transaction.ts";
import { MailDataDecoder } from "../../../src/smtp/mail-data.ts";
import { deriveScramCredentials } from "../../../src/smtp/scram.ts";
import { createSampleMessage, readMessage } from "../../support/sample-message.ts";
import { agree } from "../../support/smtp-peer.ts";
import { authority, good } from "./certificates.ts";
import { clientFor, deferred, recipientsOf, scripted } from "./smtp-setup.ts";

function withOptions(message: Message, options: EnvelopeOptions, recipient?: RecipientOptions): Message {
  const { reversePath, recipients } = message.envelope;
  message.envelope = {
    reversePath,
    options,
    recipients: recipients.map((each) => (recipient ? { ...each, options: recipient } : each)),
  };
  return message;
}

/** A peer that agrees; with its own TLS where it is asked for. */
function peerOffering(extensions: readonly string[]) {
  return scripted((line, { startTls, secure }) => {
    if (line === "STARTTLS") {
      setImmediate(() => startTls(good));
      return "220 go on";
    }
    return agree(line, secure ? extensions.filter((word) => word !== "STARTTLS") : extensions);
  });
}

describe("pipelining", () => {
  test("MAIL, RCPT and DATA leave in one piece where it is offered", async () => {
    const peer = await peerOffering(["PIPELINING"]);
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
    await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(peer.packets).toContain(
      "MAIL FROM:<ada@sender.example>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n",
    );
  });

  test("MAIL refused: the recipients behind it are out of order, and that is nobody's fault", async () => {
    const peer = await scripted((line) => {
      if (line.startsWith("MAIL")) return "451 4.3.0 later";
      return /^(?:RCPT|DATA)/.test(line) ? "550 5.5.1 MAIL first" : agree(line, ["PIPELINING"]);
    });
    const message = createSampleMessage();
    expect(await clientFor(peer.port).deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "deferred", reply: { code: 451 } },
    ]);
  });

  test("one after the other where it is not", async () => {
    const peer = await peerOffering([]);
    const message = createSampleMessage();
    await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(peer.packets.slice(0, 4)).toEqual([
      "EHLO mail.example.test\r\n",
      "MAIL FROM:<ada@sender.example>\r\n",
      "RCPT TO:<grace@example.test>\r\n",
      "DATA\r\n",
    ]);
  });

  test.each([
    { why: "nobody taken and DATA refused", data: undefined, lines: ["DATA", "RSET"] },
    { why: "nobody taken and DATA agreed to: a dot alone", data: "354 go on", lines: ["DATA", ".", "MAIL"] },
  ])("$why; the connection is good for the next message", async ({ data, lines }) => {
    let refusals = 1;
    const peer = await scripted((line) => {
      if (line.startsWith("RCPT") && refusals-- > 0) return "550 5.1.1 nobody";
      if (line === "DATA" && refusals >= 0) return data ?? "503 5.5.1 nobody";
      if (line === "." && refusals === 0) return "554 5.5.1 nobody";
      return agree(line, ["PIPELINING"]);
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "failed", reply: { status: "5.1.1" } },
    ]);
    if (data) expect(peer.messages[0]!.toString()).toBe(".\r\n");
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(1);
    const from = peer.lines.indexOf("DATA");
    expect(peer.lines.slice(from, from + lines.length).map((line) => line.split(" ")[0])).toEqual(lines);
  });
});

describe("CHUNKING", () => {
  const octetsOf = (sizeOctets: number) => {
    const head = "Subject: x\r\n\r\n";
    return `${head}${".".repeat(sizeOctets - head.length)}`;
  };
  test.each([
    { why: "a small message, with all the rest", sizeOctets: eagerChunkOctetsMax, packets: 1 },
    { why: "a larger one when the recipients are known", sizeOctets: eagerChunkOctetsMax + 1, packets: 2 },
  ])("$why", async ({ sizeOctets, packets }) => {
    const peer = await peerOffering(["PIPELINING", "CHUNKING"]);
    const message = createSampleMessage({ data: octetsOf(sizeOctets) });
    expect(await clientFor(peer.port).deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    const mail = peer.packets.find((packet) => packet.startsWith("MAIL"))!;
    expect(mail.includes(`BDAT ${sizeOctets} LAST`)).toBe(packets === 1);
    expect(peer.lines).not.toContain("DATA");
    expect(peer.messages[0]!.equals(await readMessage(message))).toBe(true);
  });

  test("without PIPELINING too, and a body in a file", async () => {
    const peer = await peerOffering(["CHUNKING"]);
    const octets = Buffer.from("one\r\n.\r\n\0\xff no end", "latin1");
    const body = { ...inlineBody(octets), inline: undefined };
    const message = createSampleMessage({ data: "Subject: x\r\n\r\n", body });
    expect(await clientFor(peer.port).deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.messages[0]!.equals(await readMessage(message))).toBe(true);
  });

  test("everybody refused, the chunk already sent: its reply is nobody's, and the connection is good", async () => {
    let refusals = 1;
    const peer = await scripted((line) => {
      if (line.startsWith("RCPT") && refusals-- > 0) return "550 5.1.1 nobody";
      if (line.startsWith("BDAT") && refusals >= 0) return "503 5.5.1 nobody";
      return agree(line, ["PIPELINING", "CHUNKING"]);
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "failed", reply: { code: 550 } },
    ]);
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
    expect(peer.connections).toBe(1);
  });

  test.each([
    { why: "fewer octets than it says", difference: 1 },
    { why: "more octets than it says", difference: -1 },
  ])("a body with $why is not delivered", async ({ difference }) => {
    const peer = await peerOffering(["CHUNKING"]);
    const octets = Buffer.from("some words\r\n");
    const body = { ...inlineBody(octets), inline: undefined, sizeOctets: octets.length + difference };
    const message = createSampleMessage({ data: "Subject: x\r\n\r\n", body });
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome).toMatchObject({ kind: "deferred", reason: expect.stringContaining("octets than its size says") });
    expect(peer.messages).toEqual([]);
  });

  test("an old connection that ends when it had begun with a BDAT message is not followed by another at once", async () => {
    let mails = 0;
    const peer = await scripted((line, { socket }) => {
      if (line.startsWith("MAIL")) mails++;
      if (!line.startsWith("BDAT") || mails === 1) return agree(line, ["PIPELINING", "CHUNKING"]);
      socket.end();
      return undefined;
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "deferred" }]);
    expect(mails).toBe(2);
  });

  test("an old connection that ends when BDAT goes along costs no deferral", async () => {
    let mails = 0;
    const peer = await scripted((line, { socket, connection }) => {
      if (!line.startsWith("MAIL") || connection > 0 || mails++ === 0) return agree(line, ["PIPELINING", "CHUNKING"]);
      socket.destroy();
      return undefined;
    });
    const client = clientFor(peer.port);
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
  });
});

test("any message arrives octet by octet, by DATA and by BDAT", async () => {
  const byData = await peerOffering(["PIPELINING"]);
  const byChunk = await peerOffering(["PIPELINING", "CHUNKING"]);
  const clients = [clientFor(byData.port), clientFor(byChunk.port)];
  const words = fc.array(fc.constantFrom(".", "\r", "\n", "\r\n", "a", "\r\n.\r\n", "\0", "\xff"), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(words, fc.array(fc.nat(50), { maxLength: 5 }), async (words, cuts) => {
      const octets = Buffer.from(words.join(""), "latin1");
      const places = [...cuts.map((cut) => cut % (octets.length + 1)).sort((one, other) => one - other), octets.length];
      const body = {
        ...inlineBody(octets),
        inline: undefined,
        async *chunks() {
          let from = 0;
          for (const to of places) yield octets.subarray(from, (from = to));
        },
      };
      const message = createSampleMessage({ data: "Subject: x\r\n\r\n", body });
      for (const client of clients)
        expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "delivered" }]);
      const whole = await readMessage(message);
      expect(byChunk.messages.at(-1)!.equals(whole)).toBe(true);
      const decoded = Buffer.concat(new MailDataDecoder().decode(byData.messages.at(-1)!).pieces);
      const ended = whole.subarray(-2).equals(Buffer.from("\r\n"));
      expect(decoded.equals(ended ? whole : Buffer.concat([whole, Buffer.from("\r\n")]))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

describe("what the message needs", () => {
  const secure = { host: "localhost", tls: "required" } as const;
  const rows: {
    why: string;
    options: EnvelopeOptions;
    offers: string[];
    outcome: string;
    mail?: string;
    clear?: true;
  }[] = [
    {
      why: "BINARYMIME",
      options: { body: "BINARYMIME" },
      offers: ["CHUNKING", "BINARYMIME"],
      outcome: "delivered",
      mail: "BODY=BINARYMIME",
    },
    {
      why: "BINARYMIME without CHUNKING",
      options: { body: "BINARYMIME" },
      offers: ["BINARYMIME"],
      outcome: "failed 5.6.1",
    },
    { why: "BINARYMIME unknown", options: { body: "BINARYMIME" }, offers: ["CHUNKING"], outcome: "failed 5.6.1" },
    {
      why: "REQUIRETLS",
      options: { requireTls: true },
      offers: ["STARTTLS", "REQUIRETLS"],
      outcome: "delivered",
      mail: "REQUIRETLS",
    },
    { why: "REQUIRETLS unknown", options: { requireTls: true }, offers: ["STARTTLS"], outcome: "failed 5.7.30" },
    {
      why: "REQUIRETLS in the clear",
      options: { requireTls: true },
      offers: ["REQUIRETLS"],
      outcome: "failed 5.7.30",
      clear: true,
    },
    {
      why: "DSN",
      options: { ret: "HDRS", envelopeId: "a b" },
      offers: ["DSN"],
      outcome: "delivered",
      mail: "RET=HDRS ENVID=a+20b",
    },
    { why: "DSN unknown", options: { ret: "HDRS" }, offers: [], outcome: "delivered" },
    {
      why: "SMTPUTF8 asked for",
      options: { smtpUtf8: true },
      offers: ["SMTPUTF8"],
      outcome: "delivered",
      mail: "SMTPUTF8",
    },
    {
      why: "8BITMIME asked for",
      options: { body: "8BITMIME" },
      offers: ["8BITMIME"],
      outcome: "delivered",
      mail: "BODY=8BITMIME",
    },
  ];
  test.each(rows)("$why: $outcome", async ({ options, offers, outcome, mail, clear }) => {
    const peer = await peerOffering(offers);
    const message = withOptions(createSampleMessage(), options);
    const smarthost = options.requireTls && !clear ? secure : {};
    const client = clientFor(peer.port, smarthost, { certificateAuthorities: authority });
    const [{ kind, status } = { kind: "" }] = await client.deliver(message, recipientsOf(message));
    expect(status === undefined ? kind : `${kind} ${status}`).toBe(outcome);
    const line = peer.lines.find((said) => said.startsWith("MAIL"));
    if (mail) expect(line).toBe(`MAIL FROM:<ada@sender.example> ${mail}`);
    else if (outcome === "delivered") expect(line).toBe("MAIL FROM:<ada@sender.example>");
    else expect(line).toBeUndefined();
  });

  test("REQUIRETLS is not content with TLS that proves nothing", async () => {
    const peer = await peerOffering(["STARTTLS", "REQUIRETLS"]);
    const message = withOptions(createSampleMessage(), { requireTls: true });
    const client = clientFor(peer.port, { tls: "opportunistic" });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([{ kind: "failed", status: "5.7.30" }]);
  });

  test.each([
    { why: "is told of by", offers: ["DSN"], passedOn: true },
    { why: "is not known to", offers: [], passedOn: undefined },
  ])("what is to be reported $why the next hop: the outcome says so", async ({ offers, passedOn }) => {
    const peer = await peerOffering(offers);
    const message = withOptions(createSampleMessage(), {}, { notify: ["success"] });
    const [outcome] = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcome).toMatchObject({ kind: "delivered" });
    expect(outcome!.dsnPassedOn).toBe(passedOn);
  });

  test("NOTIFY and ORCPT go with their recipient", async () => {
    const peer = await peerOffering(["DSN"]);
    const recipient: RecipientOptions = {
      notify: ["failure"],
      originalRecipient: { type: "rfc822", address: "x@y.example" },
    };
    const message = withOptions(createSampleMessage(), {}, recipient);
    await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(peer.lines).toContain("RCPT TO:<grace@example.test> NOTIFY=FAILURE ORCPT=rfc822;x@y.example");
  });
});

describe("LIMITS", () => {
  test.each([
    { why: "RCPTMAX", offers: "LIMITS RCPTMAX=2", batches: [2, 2, 1], connections: 1 },
    { why: "MAILMAX", offers: "LIMITS RCPTMAX=2 MAILMAX=1", batches: [2, 2, 1], connections: 3 },
    { why: "RCPTDOMAINMAX", offers: "LIMITS RCPTDOMAINMAX=1", batches: [3, 2], connections: 1 },
    { why: "none", offers: "LIMITS", batches: [5], connections: 1 },
  ])("$why is kept to", async ({ offers, batches, connections }) => {
    const peer = await peerOffering([offers]);
    const to = ["a@x.example", "b@y.example", "c@x.example", "d@y.example", "e@x.example"];
    const message = createSampleMessage({ to });
    const outcomes = await clientFor(peer.port).deliver(message, recipientsOf(message));
    expect(outcomes.map(({ index, kind }) => `${index} ${kind}`).sort()).toEqual(to.map((_, i) => `${i} delivered`));
    const said = peer.lines.filter((line) => /^(?:MAIL|RCPT)/.test(line)).map((line) => line.slice(0, 4));
    const counts = said
      .join(" ")
      .split("MAIL")
      .slice(1)
      .map((text) => text.split("RCPT").length - 1);
    expect(counts).toEqual(batches);
    expect(peer.connections).toBe(connections);
  });
});

describe("EHLO and HELO", () => {
  test.each([
    { why: "an old server", reply: "502 5.5.1 what", tls: "opportunistic", kind: "delivered" },
    { why: "a server that has no time", reply: "451 4.3.0 later", tls: "opportunistic", kind: "deferred" },
  ] as const)("$why: $kind", async ({ reply, tls, kind }) => {
    const peer = await scripted((line) => (line.startsWith("EHLO") ? reply : agree(line)));
    const message = createSampleMessage();
    expect(await clientFor(peer.port, { tls }).deliver(message, recipientsOf(message))).toMatchObject([{ kind }]);
    expect(peer.lines.includes("HELO mail.example.test")).toBe(kind === "delivered");
  });
});

describe("LMTP", () => {
  test.each([
    ["DATA", []],
    ["BDAT", ["CHUNKING", "PIPELINING"]],
  ] as const)("each recipient has a reply of its own at the end of %s", async (_by, offers) => {
    const peer = await scripted((line) => {
      if (line.startsWith("LHLO")) return agree("EHLO", offers);
      if (line.includes("b@x.example")) return "550 5.1.1 nobody";
      return line === "." || line.startsWith("BDAT") ? "250 2.0.0 a\r\n452 4.2.2 full" : agree(line);
    });
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example", "c@x.example"] });
    const client = clientFor(peer.port, { protocol: "lmtp" });
    expect(await client.deliver(message, recipientsOf(message))).toMatchObject([
      { kind: "delivered", reply: { text: "a" } },
      { kind: "failed", reply: { code: 550 } },
      { kind: "deferred", reply: { code: 452 } },
    ]);
    expect(peer.lines[0]).toBe("LHLO mail.example.test");
  });
});

describe("LMTP, where the peer speaks before it has seen the end", () => {
  test("a refusal is for one recipient: the others are asked about anew", async () => {
    const peer = await scripted((line, state) => {
      if (line.startsWith("LHLO")) return agree("EHLO", []);
      if (line === "DATA" && state.connection === 0) {
        state.beginData();
        state.write("354 go on\r\n");
        setTimeout(() => state.write("552 5.2.2 a is full\r\n"), 20);
        return undefined;
      }
      return agree(line);
    });
    const message = createSampleMessage({ to: ["a@x.example", "b@x.example"] });
    const { promise: refused, resolve } = deferred();
    setTimeout(resolve, 60);
    const octets = Buffer.from("text\r\n");
    let reads = 0;
    message.body = {
      ...inlineBody(Buffer.concat([octets, octets])),
      inline: undefined,
      async *chunks() {
        yield octets;
        if (reads++ === 0) await refused;
        yield octets;
      },
    };
    const client = clientFor(peer.port, { protocol: "lmtp" });
    const outcomes = await client.deliver(message, recipientsOf(message));
    expect(outcomes.map(({ index, kind }) => [index, kind])).toEqual([
      [0, "failed"],
      [1, "delivered"],
    ]);
  });
});

test("a peer that takes one connection alone: who came too much has the other as soon as it is free", async () => {
  const first = deferred();
  let refuse = () => {};
  const peer = await scripted((line, { connection, write }) => {
    if (line === "" && connection > 0) {
      refuse = () => write("421 4.7.0 one is enough\r\n");
      void first.resolve();
      return undefined;
    }
    if (line !== ".") return agree(line, []);
    // The second connection is refused when the first has nothing to do any more.
    void first.promise.then(() => {
      write("250 2.0.0 taken\r\n");
      setTimeout(() => refuse(), 50);
    });
    return undefined;
  });
  const client = clientFor(peer.port, {}, { limits: { connectionsMax: 2, idleMs: 60_000 } });
  const message = createSampleMessage();
  const deliver = () => client.deliver(message, recipientsOf(message));
  expect((await Promise.all([deliver(), deliver()])).flat()).toMatchObject([
    { kind: "delivered" },
    { kind: "delivered" },
  ]);
}, 3_000);

describe("SCRAM-SHA-256", () => {
  function scramPeer(password: string, options: { readonly honest: boolean; readonly skip?: boolean }) {
    const credentials = deriveScramCredentials(password, { salt: Buffer.from("a salt") });
    const encode = (text: string) => Buffer.from(text).toString("base64");
    let stage = 0;
    let signed = "";
    return scripted((line) => {
      if (line.startsWith("AUTH ")) {
        const first = Buffer.from(line.split(" ")[2]!, "base64").toString().slice(3);
        const challenge = `r=${/r=(.*)/.exec(first)![1]}server,s=${credentials.salt.toString("base64")},i=4096`;
        signed = `${first},${challenge}`;
        stage = 1;
        return `334 ${encode(challenge)}`;
      }
      if (stage === 1) {
        stage = 2;
        if (options.skip) return "235 2.7.0 in";
        signed += `,${Buffer.from(line, "base64").toString().replace(/,p=.*/, "")}`;
        const key = options.honest ? credentials.serverKey : Buffer.alloc(32);
        return `334 ${encode(`v=${createHmac("sha256", key).update(signed).digest("base64")}`)}`;
      }
      if (stage === 2 && line === "") {
        stage = 3;
        return "235 2.7.0 in";
      }
      return agree(line, ["AUTH PLAIN SCRAM-SHA-256"]);
    });
  }

  test.each([
    { why: "a server that knows the password", honest: true, kind: "delivered", words: "" },
    { why: "a server that does not", honest: false, kind: "deferred", words: "not the server we mean" },
    { why: "a server that says yes at once", honest: true, skip: true, kind: "deferred", words: "without a proof" },
  ])("$why: $kind", async ({ kind, words, ...options }) => {
    const peer = await scramPeer("secret", options);
    const message = createSampleMessage();
    const client = clientFor(peer.port, { user: "ann", password: "secret" });
    const [outcome] = await client.deliver(message, recipientsOf(message));
    expect(outcome!.kind).toBe(kind);
    if (words) expect(outcome!.reason).toContain(words);
    expect(peer.lines.join(" ")).not.toContain(Buffer.from("secret").toString("base64"));
  });
});
