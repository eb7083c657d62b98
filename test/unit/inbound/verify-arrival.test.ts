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
let listeners: Record<"all" | "public", Listener>;

beforeAll(async () => {
  ({ verifier } = verifierWith());
  const dispatcher = createDispatcher();
  dispatcher.replaceBindings([
    createBinding("onRcptTo", ({ accept }: { accept?: () => void }) => accept?.()),
    createBinding("onArrival", ({ message }: { message: Message }) => void seen.push(message.origin.auth)),
  ]);
  const start = (verify: "all" | "public") => {
    const options = createListenerOptions({
      verify,
      trusted: { proxy: () => false, xclient: () => true, xforward: () => false },
    });
    const parts = createReceptionOptions({
      dispatcher,
      spool,
      verifier,
      enqueue: (message) => void accepted.push(message),
    });
    return startNativeListener(options, new Reception(options, parts), { clock: systemClock, log: silentLog });
  };
  listeners = { all: await start("all"), public: await start("public") };
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

  test("a private address is not checked, and a user's mail is rid of forged results", async () => {
    const plain = await send(listeners.public, forged + plainMail);
    expect(seen).toEqual([undefined]);
    expect(plain.header.count("Authentication-Results")).toBe(1);
    const ours = await send(listeners.public, forged + plainMail, "ADDR=203.0.113.5 LOGIN=ann");
    expect(seen).toEqual([undefined, undefined]);
    expect(ours.header.has("Authentication-Results")).toBe(false);
  });
});
