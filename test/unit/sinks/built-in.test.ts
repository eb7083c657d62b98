import { describe, expect, test } from "vitest";
import type { RcptToSubject } from "../../../src/events/subject.ts";
import { parseMailbox } from "../../../src/mail/mailbox.ts";
import { loopGuard } from "../../../src/sinks/loop-guard.ts";
import { relayControl } from "../../../src/sinks/relay-control.ts";
import { createMessage } from "../../support/events.ts";
import { context } from "./subjects.ts";

describe("relayControl", () => {
  const sink = relayControl({ localDomains: new Set(["example.test"]), relayDomains: new Set(["relay.example"]) });
  test.each([
    ["one of ours", "bob@example.test", {}, "proceed"],
    ["one of ours in capitals", "bob@EXAMPLE.TEST", {}, "proceed"],
    ["one we relay for", "bob@relay.example", {}, "proceed"],
    ["somebody else", "bob@elsewhere.example", {}, "refuse"],
    ["a subdomain of ours", "bob@sub.example.test", {}, "refuse"],
    ["a percent hack", "bob%elsewhere.example@example.com", {}, "refuse"],
    ["an address literal", "bob@[127.0.0.1]", {}, "refuse"],
    ["somebody else, from a user", "bob@elsewhere.example", { user: "carla" }, "proceed"],
    ["somebody else, accepted by a sink", "bob@elsewhere.example", { accepted: "relay" }, "proceed"],
  ] as const)(
    "%s: %s",
    (_why, address, { user = null, accepted = null }: { user?: string | null; accepted?: "relay" | null }, kind) => {
      const subject = { session: { user }, forwardPath: parseMailbox(address), accepted } as RcptToSubject;
      expect(sink.onRcptTo!(subject, context)).toMatchObject({ kind });
    },
  );
});

describe("loopGuard", () => {
  test.each([
    ["below", 99, "proceed"],
    ["at", 100, "proceed"],
    ["above", 101, "refuse"],
  ])("%s the limit of hops", (_why, hops, kind) => {
    const message = createMessage(`${"Received: by somewhere\n".repeat(hops)}\nbody\n`);
    expect(loopGuard().onArrival!({ message }, context)).toMatchObject({ kind });
  });
});
