import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { noCalls } from "../../../sandbox/host-call.ts";
import type { RunRequest } from "../../../sandbox/protocol.ts";
import { checkMessage, checkSteps, ProtocolError } from "../../../sandbox/validate.ts";
import { mailInputOf, messageOf, stepOf } from "../../support/scripts.ts";

const octets = messageOf("From: a@example.com\nSubject: x\n\nhello\n");
const request: RunRequest = {
  event: "onArrival",
  steps: [stepOf("sha256:1", { actionsMax: 3, logLinesMax: 2, logLineOctetsMax: 10 }), stepOf("sha256:2")],
  mail: mailInputOf(octets),
  subject: {},
  stopOnChange: false,
  octets: async () => octets,
  calls: noCalls,
};

const good = {
  effects: {},
  verdict: { kind: "proceed", settled: false },
  log: [],
  usage: { cpuMs: 1, wallMs: 1, heapKiB: 1 },
  fault: null,
  defects: [],
  looked: false,
};
const fault = { code: "script.threw", message: "no", at: "scripts/x.ts:1:1", stack: "" };

function check(change: object, tail = Buffer.alloc(0)) {
  return checkSteps([{ ...good, ...change }], tail, request)[0]!.result;
}

describe("checkSteps", () => {
  it("takes a good answer, and binding and version from the request", () => {
    const steps = checkSteps([{ ...good, bindingId: "other", version: "other" }, good], Buffer.alloc(0), request);
    expect(steps.map(({ result }) => [result.bindingId, result.version])).toEqual([
      ["b-1", "sha256:1"],
      ["b-1", "sha256:2"],
    ]);
  });

  it.each([
    [
      "every effect",
      {
        effects: {
          from: null,
          to: ["a@b.example"],
          fields: [1, 0, ["X-A", "ü\t"]],
          splices: [
            [0, 1, 2],
            [1, 1, 0],
          ],
          parts: [{ op: "remove", part: "1.2", contentType: "a/b", fileName: "c" }],
        },
      },
      Buffer.from("ab"),
    ],
    ["a quoted local part", { effects: { from: '"a b"@c.example' } }],
    ["refuse", { verdict: { kind: "refuse", code: 599, status: "5.1.1", text: "é" } }],
    ["defer", { verdict: { kind: "defer", code: 400, text: "x" } }],
    ["a fault", { fault }],
    ["a log of its limit and the line that says so", { log: Array(3).fill({ level: "info", text: "x", at: 1 }) }],
  ])("takes %s", (_why, change, tail = Buffer.alloc(0)) => {
    expect(check(change, tail)).toBeDefined();
  });

  it("gives splices their octets, in order", () => {
    const { effects } = check(
      {
        effects: {
          splices: [
            [0, 1, 1],
            [2, 3, 2],
          ],
        },
      },
      Buffer.from("abc"),
    );
    expect(effects.splices!.map(({ start, end, octets }) => [start, end, Buffer.from(octets).toString()])).toEqual([
      [0, 1, "a"],
      [2, 3, "bc"],
    ]);
  });

  it("makes texts for people plain instead of refusing them", () => {
    const result = check({
      log: [{ level: "warn", text: "a\r\n\x1b[1mb", at: 1 }],
      fault: { ...fault, message: "\x1b]0;x\x07a\nb".padEnd(900, "c"), at: "x\ny", stack: "at a\x1b[0m\nat b" },
      defects: ["a\0b"],
    });
    expect(result.log[0]!.text).toBe("a b");
    expect(result.fault!.message).toHaveLength(500);
    expect(result.fault).toMatchObject({ at: "x y", stack: "at a\nat b" });
    expect(result.defects).toEqual(["a b"]);
  });

  it.each([
    ["no object", "x"],
    ["no effects", { effects: null }],
    ["an unknown effect", { effects: { exec: "x" } }],
    ["a reverse-path that is no address", { effects: { from: "nobody" } }],
    ["a reverse-path with CR", { effects: { from: "a@b\r\nRCPT TO:<x@y>" } }],
    ["recipients that are none", { effects: { to: "a@b" } }],
    ["too many recipients", { effects: { to: Array(6).fill("a@b.example") } }],
    ["a field that did not go in", { effects: { fields: [2] } }],
    ["a negative field", { effects: { fields: [-1] } }],
    ["a field twice", { effects: { fields: [0, 0] } }],
    ["a field with CRLF", { effects: { fields: [["X-A", "a\r\nb"]] } }],
    ["a field named with a space", { effects: { fields: [["X A", "a"]] } }],
    ["a field with a third half", { effects: { fields: [["X-A", "a", "b"]] } }],
    ["too many fields", { effects: { fields: Array(14).fill(["X-A", "a"]) } }],
    ["a splice behind the body", { effects: { splices: [[0, octets.length + 1, 0]] } }],
    ["a splice the wrong way", { effects: { splices: [[2, 1, 0]] } }],
    [
      "splices out of order",
      {
        effects: {
          splices: [
            [2, 3, 0],
            [0, 1, 0],
          ],
        },
      },
    ],
    [
      "splices that overlap",
      {
        effects: {
          splices: [
            [0, 3, 0],
            [2, 4, 0],
          ],
        },
      },
    ],
    ["a splice without its octets", { effects: { splices: [[0, 1, 5]] } }],
    ["half a splice", { effects: { splices: [[0, 1]] } }],
    ["a part with a path for a number", { effects: { parts: [{ op: "remove", part: "../x", contentType: "a/b" }] } }],
    [
      "a part name with a control character",
      { effects: { parts: [{ op: "remove", part: "1", contentType: "a/b", fileName: "a\nb" }] } },
    ],
    ["an unknown verdict", { verdict: { kind: "drop" } }],
    ["refuse with a code of 4yz", { verdict: { kind: "refuse", code: 450, text: "x" } }],
    ["refuse with a code that is no number", { verdict: { kind: "refuse", code: "550", text: "x" } }],
    ["refuse with another status", { verdict: { kind: "refuse", status: "4.1.1", text: "x" } }],
    ["a reply of two lines", { verdict: { kind: "refuse", text: "x\r\n250 ok" } }],
    ["a reply of nothing", { verdict: { kind: "discard", reason: "" } }],
    ["a log that is too long", { log: Array(4).fill({ level: "info", text: "x", at: 1 }) }],
    ["a log line that is too long", { log: [{ level: "info", text: "x".repeat(211), at: 1 }] }],
    ["a log level that is none", { log: [{ level: "fatal", text: "x", at: 1 }] }],
    ["usage that is no number", { usage: { cpuMs: null, wallMs: 1, heapKiB: 1 } }],
    ["usage below nothing", { usage: { cpuMs: -1, wallMs: 1, heapKiB: 1 } }],
    ["an unknown fault", { fault: { ...fault, code: "server.down" } }],
    ["a fault with effects", { fault, effects: { from: null } }],
    ["a fault with a verdict", { fault, verdict: { kind: "discard", reason: "x" } }],
  ])("refuses %s", (_why, change) => {
    expect(() => (typeof change === "string" ? checkSteps([change], Buffer.alloc(0), request) : check(change))).toThrow(
      ProtocolError,
    );
  });

  it("refuses no results, more than steps, and octets that belong to nothing", () => {
    expect(() => checkSteps([], Buffer.alloc(0), request)).toThrow(ProtocolError);
    expect(() => checkSteps([good, good, good], Buffer.alloc(0), request)).toThrow(ProtocolError);
    expect(() => check({}, Buffer.from("x"))).toThrow(ProtocolError);
  });

  it("counts a step's fields from what the step before it left", () => {
    const shrunk = { ...good, effects: { fields: [1] } };
    expect(() => checkSteps([shrunk, { ...good, effects: { fields: [1] } }], Buffer.alloc(0), request)).toThrow(
      ProtocolError,
    );
    expect(checkSteps([shrunk, { ...good, effects: { fields: [0] } }], Buffer.alloc(0), request)).toHaveLength(2);
  });

  it("takes or refuses anything, and throws nothing else", () => {
    fc.assert(
      fc.property(fc.array(fc.anything(), { maxLength: 3 }), (steps) => {
        try {
          checkSteps(steps, Buffer.alloc(0), request);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("checkMessage", () => {
  it.each([
    ["ready", { t: "ready" }, true],
    ["need", { t: "need", id: 1 }, true],
    ["at", { t: "at", id: 1, step: 0, parsing: true }, true],
    ["done", { t: "done", id: 1, steps: [] }, true],
    [
      "loaded",
      {
        t: "loaded",
        id: 1,
        exports: { handlers: ["onArrival"], rule: "x", priority: 1, onFault: "defer", enabled: false },
        fault: null,
      },
      true,
    ],
    ["not loaded", { t: "loaded", id: 1, exports: null, fault }, true],
    ["nothing", null, false],
    ["a list", [], false],
    ["unknown", { t: "exec" }, false],
    ["an id that is none", { t: "need", id: "1" }, false],
    ["a step below nothing", { t: "at", id: 1, step: -1 }, false],
    ["steps that are none", { t: "done", id: 1, steps: {} }, false],
    ["handlers that are none", { t: "loaded", id: 1, exports: { handlers: "x" }, fault: null }, false],
    ["a handler with a control character", { t: "loaded", id: 1, exports: { handlers: ["a\nb"] }, fault: null }, false],
  ])("%s", (_why, head, holds) => {
    if (holds) expect(checkMessage(head)).toMatchObject(head as object);
    else expect(() => checkMessage(head)).toThrow(ProtocolError);
  });
});
