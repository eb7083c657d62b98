/** What the review of a script finds, and the codes there are: each with its section in docs/review.md, by which it can be silenced. */
import type { AnyNode } from "./review-syntax.ts";

export const findingCodes = [
  "unawaited",
  "slow-regex",
  "rule-all",
  "rule-never",
  "rule-trap",
  "grant-unused",
  "grant-missing",
  "two-verdicts",
  "unused-mail",
  "console",
  "module-state",
  "ignore",
] as const;

export type FindingCode = (typeof findingCodes)[number];

/** Something in a script that is legal and most likely not meant. */
export interface Finding {
  readonly code: FindingCode;
  /** What is there, a sentence. */
  readonly message: string;
  /** What to do, a sentence. */
  readonly advice: string;
  /** `scripts/x.ts:12:7`, line and column from 1. */
  readonly at: string;
}

/** A finding whose place is a node of the compiled script. */
export interface Found extends Pick<Finding, "code" | "message" | "advice"> {
  readonly node: AnyNode;
}
