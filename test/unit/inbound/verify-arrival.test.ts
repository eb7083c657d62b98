/** Mail by the wire to a listener that checks it: what the first sink sees, what is written on the message, and what is not checked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Listener } from "../../../src/inbound/listener.ts";
import { startNativeListener } from "../../../src/inbound/native-engine.ts";
import { Reception } from "../../../src/inbound/reception.ts";
import type { Verifier } from "../../../src/inbound/verify.ts";
import type { AuthFacts } from "../../../src/mail/auth-facts.ts";
import type { Message } from "../../../src/mail/message.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createBinding } from "../../support/events.ts";
import { createDispatcher, createListenerOptions, createReceptionOptions } from "../../support/listener.ts";
import { SmtpClient } from "../../support/smtp-client.ts";
import { plainMail, signed, verifierWith } from "./verify-setup.ts";

const spool = createMemorySpool();
const accepted: Message[] = [];
let seen: (AuthFacts | undefined)[] = [];
let verifier: Verifier;
let listeners: Record<"all" | "public" | "off" | "trusting", Listener>;

beforeAll(async () => {
  ({ verifier } = verifierWith());
  const dispatcher = createDispatcher();
  dispatcher.replaceBindings([
    createBinding("onRcptTo", ({ accept }: { accept?: () => void }) => accept?.()),
    createBinding("onArrival", ({ message }: { message: Message }) => void seen.push(message.origin.auth)),
  ]);
  const start = (verify: "all" | "public" | "off", results = (_ip: string) => false) => {
    const options = createListenerOptions({
      verify,
      trusted: { proxy: () => false, xclient: () => true, xforward: () => false, results },
    });
    const parts = createReceptionOptions({
      dispatcher,
      spool,
      verifier,
      enqueue: (message) => void accepted.push(message),
    });
    return startNativeListener(options, new Reception(options, parts), { clock: systemClock, log: silentLog });
  };
  listeners = {
    all: await start("all"),
    public: await start("public"),
    off: await start("off"),
    trusting: await start("public", (ip) => ip === "127.0.0.1"),
  };
});
afterAll(async () => {
  for (const listener of Object.values(listeners)) await listener.close(0);
  await verifier.close();
});
beforeEach(() => {
  seen = [];
});

async function send(listener: Listener, data: string, xclient = ""): Promise<Message> {
  const client = await SmtpClient.connect(listener.port, { helo: "mx.example.org" });
  if (xclient !== "") {
    await client.command(`XCLIENT ${xclient}`);
    await client.command("EHLO mx.example.org");
  }
  const reply = await client.send({ from: "ann@example.org", to: ["bob@example.org"], data: Buffer.from(data) });
  await client.quit();
  expect(reply.code).toBe(250);
  return (await spool.load(accepted.at(-1)!.id))!;
}

const forged = "Authentication-Results: mx.example.test; dmarc=pass (forged)\r\n";

describe("a listener that checks mail", () => {
  test("the first sink sees the results; they stand on top, above Received, and are stored", async () => {
    const message = await send(listeners.all, forged + (await signed()), "ADDR=198.51.100.7");
    expect(seen).toMatchObject([{ spf: { result: "pass" }, dkim: [{ result: "pass" }], dmarc: { result: "pass" } }]);
    expect(message.origin.auth).toEqual(seen[0]);
    expect(message.header.fields.slice(0, 2).map(({ name }) => name)).toEqual(["Authentication-Results", "Received"]);
    expect(message.header.getAll("Authentication-Results")).toEqual([expect.stringContaining("dmarc=pass (p=reject)")]);
  });

  test("a forger fails, and his mail is taken: what that means is for sinks to say", async () => {
    await send(listeners.public, forged + plainMail, "ADDR=203.0.113.5");
    expect(seen).toMatchObject([{ spf: { result: "fail" }, dmarc: { result: "fail", policy: "reject" } }]);
  });

  const others = "Authentication-Results: mx.elsewhere.example; dmarc=pass\r\n";
  test.each<{ why: string; at: keyof typeof listeners; xclient?: string; kept: boolean }>([
    { why: "a private address", at: "public", kept: false },
    { why: "a listener that checks nothing", at: "off", kept: false },
    { why: "the same, from outside", at: "off", xclient: "ADDR=203.0.113.5", kept: false },
    { why: "a user", at: "public", xclient: "ADDR=203.0.113.5 LOGIN=ann", kept: false },
    { why: "a host that is trusted with it", at: "trusting", kept: true },
    { why: "a user, by way of one", at: "trusting", xclient: "ADDR=203.0.113.5 LOGIN=ann", kept: false },
  ])("what nobody checks is rid of results that only say they are ours: $why", async ({ at, xclient, kept }) => {
    const { header } = await send(listeners[at], forged + others + plainMail, xclient);
    expect(seen).toEqual([undefined]);
    expect(header.getAll("Authentication-Results").map((value) => /mx\.\w+/.exec(value)![0])).toEqual([
      ...(kept ? ["mx.example"] : []),
      "mx.elsewhere",
    ]);
  });

  test("a host that is trusted with results is believed no more where its mail is checked", async () => {
    const { header } = await send(listeners.trusting, forged + (await signed()), "ADDR=198.51.100.7");
    expect(header.getAll("Authentication-Results")).toEqual([expect.stringContaining("dmarc=pass (p=reject)")]);
  });
});
