/** The audit behind the kill test can fail, in each of its ways. */
import { describe, expect, test } from "vitest";
import { auditCustody, type CustodyEvidence, type Delivered } from "./custody.ts";

describe("auditCustody", () => {
  const accepted = { marker: "m1", id: "0000000000000001", places: ["ada"], bodyHash: "aa", bodyOctets: 10 };
  const copy: Delivered = { marker: "m1", place: "ada", bodyHash: "aa", edited: true, writtenAt: 100 };
  const sound: CustodyEvidence = {
    journal: { accepted: [accepted], refused: [{ marker: "m2", reply: "550 no" }], inDoubt: ["m3"] },
    delivered: [copy],
    queuedIds: new Set(),
    kills: [{ from: 150, to: 160 }],
  };

  test.each<[why: string, change: Partial<CustodyEvidence>, violation: RegExp | undefined]>([
    ["delivered once, as it was sent", {}, undefined],
    ["still queued is custody too", { delivered: [], queuedIds: new Set(["0000000000000001"]) }, undefined],
    ["neither delivered nor queued is a loss", { delivered: [] }, /neither delivered nor queued/],
    [
      "delivered to another mailbox is a loss",
      { delivered: [{ ...copy, place: "grace" }] },
      /neither delivered nor queued/,
    ],
    ["another body is a loss", { delivered: [{ ...copy, bodyHash: "bb" }] }, /the body differs/],
    ["edits belong to the message", { delivered: [{ ...copy, edited: false }] }, /without the script's edits/],
    [
      "a refused message must not arrive",
      { delivered: [copy, { ...copy, marker: "m2" }] },
      /m2: delivered although it was answered 550 no/,
    ],
    ["a message in doubt may arrive", { delivered: [copy, { ...copy, marker: "m3" }] }, undefined],
    ["a duplicate over a kill is allowed", { delivered: [copy, { ...copy, writtenAt: 200 }] }, undefined],
    [
      "a duplicate without a kill is not",
      { delivered: [copy, { ...copy, writtenAt: 140 }] },
      /delivered twice without a kill/,
    ],
    [
      "the third copy needs a kill of its own",
      { delivered: [copy, { ...copy, writtenAt: 200 }, { ...copy, writtenAt: 300 }] },
      /twice without a kill/,
    ],
  ])("says what does not hold: %s", (_why, change, violation) => {
    const { violations } = auditCustody({ ...sound, ...change });
    if (violation === undefined) expect(violations).toEqual([]);
    else expect(violations.join("\n")).toMatch(violation);
  });
});
