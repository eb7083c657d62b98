/** What a follower of the trace sees of our sessions with next hops. */
import { describe, expect, test } from "vitest";
import { type TraceEntry, Tracer } from "../../../src/events/trace.ts";
import { defer } from "../../../src/events/verdict.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { agree } from "../../support/smtp-peer.ts";
import { clientFor, eventsWith, recipientsOf, scripted } from "./smtp-setup.ts";

describe("the trace", () => {
  test("has every line, the secrets masked, and mail data as a note; nothing without a follower", async () => {
    const tracer = new Tracer();
    const entries: TraceEntry[] = [];
    const unfollow = tracer.follow((entry) => entries.push(entry));
    const peer = await scripted((line) => (line.startsWith("AUTH") ? "235 in" : agree(line, ["AUTH PLAIN"])));
    const client = clientFor(
      peer.port,
      { user: "ann", password: "secret" },
      { tracer, limits: { transactionsMax: 1 } },
    );
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    await expect.poll(() => entries.at(-1)?.kind).toBe("closed");
    const words = entries.map((entry) =>
      entry.kind === "line" ? `${entry.way} ${entry.text}` : entry.kind === "note" ? entry.text : entry.kind,
    );
    expect(words).toEqual([
      "opened",
      "connected to 127.0.0.1",
      "got 220 peer.example",
      "sent EHLO mail.example.test",
      "got 250-peer.example",
      "got 250 AUTH PLAIN",
      "sent AUTH PLAIN ***",
      "got 235 in",
      "sent MAIL FROM:<ada@sender.example>",
      "got 250 2.0.0 fine",
      "sent RCPT TO:<grace@example.test>",
      "got 250 2.0.0 fine",
      "sent DATA",
      "got 354 go on",
      `${message.sizeOctets} octets of mail data`,
      "got 250 2.0.0 fine",
      "sent QUIT",
      "got 221 2.0.0 bye",
      "closed",
    ]);
    expect(new Set(entries.map((entry) => ("session" in entry ? entry.session : ""))).size).toBe(1);
    unfollow();
    await client.deliver(message, recipientsOf(message));
    expect(entries).toHaveLength(words.length);
  });

  test("has a connection that could not be made", async () => {
    const tracer = new Tracer();
    const entries: TraceEntry[] = [];
    tracer.follow((entry) => entries.push(entry));
    const peer = await scripted(() => undefined);
    await peer.close();
    const message = createSampleMessage();
    await clientFor(peer.port, {}, { tracer }).deliver(message, recipientsOf(message));
    expect(entries).toMatchObject([
      { kind: "opened", direction: "out", place: `127.0.0.1:${peer.port}` },
      { kind: "closed", reason: expect.stringContaining("ECONNREFUSED") },
    ]);
  });

  test("begins before anything is decided: who follows sees onSessionStart too, and how a sink ended it", async () => {
    const tracer = new Tracer();
    const entries: TraceEntry[] = [];
    tracer.follow((entry) => entries.push(entry));
    const peer = await scripted((line) => agree(line));
    const message = createSampleMessage();
    const seen: string[] = [];
    const events = eventsWith({
      onSessionStart() {
        seen.push(...entries.map(({ kind }) => kind));
        return defer("Not now");
      },
    });
    await clientFor(peer.port, {}, { tracer, events }).deliver(message, recipientsOf(message));
    expect(seen).toEqual(["opened"]);
    expect(entries.at(-1)).toMatchObject({ kind: "closed", reason: expect.stringContaining("Not now") });
  });
});
