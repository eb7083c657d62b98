/** One DNS list: which answers of it count, and what they weigh. RFC 5782. */
import { isIPv4 } from "node:net";
import { normalizeDomain } from "../mail/mailbox.ts";
import { describeRaw, isTable, nearestWord, quoted, type ValueKind } from "../platform/value.ts";

/** A range for each octet of an answer: `127.0.*.1-3`. */
type CodePattern = readonly (readonly [from: number, to: number])[];

export interface DnsList {
  readonly zone: string;
  /** Added to the client's score; below 0 for a list of the good. */
  readonly weight: number;
  /** Answers that count; empty: all of 127.0.0.0/8 but errors. */
  readonly codes: readonly CodePattern[];
  /** As written. */
  readonly codeTexts: readonly string[];
}

const expects = 'a list of zones: "bl.example" or { zone = "bl.example", weight = 2, codes = ["127.0.0.2-4"] }';
const listKeys = ["zone", "weight", "codes"];
const weightMax = 100;

/** DNS lists as onarrival.toml writes them. */
export const dnsLists: ValueKind<readonly DnsList[]> = {
  expects,
  parse(raw) {
    if (!Array.isArray(raw) || raw.length === 0) return { expected: expects };
    const lists: DnsList[] = [];
    for (const item of raw as unknown[]) {
      const list = readList(typeof item === "string" ? { zone: item } : item);
      if (typeof list === "string") return { expected: `${expects} (${list})` };
      lists.push(list);
    }
    return { value: lists };
  },
  fromText: (value) => value.split(",").map((item) => item.trim()),
  format: (lists) =>
    `[${lists
      .map(({ zone, weight, codeTexts }) =>
        weight === 1 && codeTexts.length === 0
          ? quoted(zone)
          : `{ zone = ${quoted(zone)}, weight = ${weight}, codes = [${codeTexts.map(quoted).join(", ")}] }`,
      )
      .join(", ")}]`,
  jsonSchema: { type: "array", minItems: 1 },
};

/** The answers of a list that mean what its weight says; those outside of 127.0.0.0/8 never do. Of a list that refuses (`isRefusal`) none is to be asked for. */
export function countingCodes({ codes }: DnsList, answers: readonly string[]): readonly string[] {
  return answers.filter((answer) => {
    if (!isIPv4(answer)) return false;
    const octets = answer.split(".").map(Number);
    // RFC 5782 §2.1: answers are in 127.0.0.0/8; anything else is a parked domain, or somebody who answers for all names.
    if (octets[0] !== 127) return false;
    return (
      codes.length === 0 || codes.some((code) => code.every(([from, to], i) => octets[i]! >= from && octets[i]! <= to))
    );
  });
}

/** Whether the list says that it will not answer us: many use 127.255.255.0/24 for it. */
export function isRefusal(answers: readonly string[]): boolean {
  return answers.some((answer) => answer.startsWith("127.255.255."));
}

/** The list, or what is wrong with it in words. */
function readList(raw: unknown): DnsList | string {
  if (!isTable(raw)) return `${describeRaw(raw)} is none`;
  for (const key of Object.keys(raw)) {
    if (listKeys.includes(key)) continue;
    const nearest = nearestWord(key, listKeys);
    return `there is no ${describeRaw(key)}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
  }
  const { zone: zoneText, weight = 1, codes: codeTexts = [] } = raw;
  const zone = typeof zoneText === "string" ? normalizeDomain(zoneText) : undefined;
  if (zone === undefined || zone.startsWith("[")) return `${describeRaw(zoneText)} is no zone`;
  if (typeof weight !== "number" || !Number.isInteger(weight) || weight === 0 || Math.abs(weight) > weightMax)
    return `the weight of ${zone} is a whole number from -${weightMax} to ${weightMax}, not 0`;
  if (!Array.isArray(codeTexts)) return `the codes of ${zone} are a list`;
  const codes: CodePattern[] = [];
  for (const text of codeTexts as unknown[]) {
    const code = typeof text === "string" ? readCode(text) : null;
    if (code === null)
      return `${describeRaw(text)} is no code of ${zone}: expected four octets such as 127.0.0.2-4 or 127.0.*.1`;
    codes.push(code);
  }
  // Each was a text, or there would be no code for it.
  return { zone, weight, codes, codeTexts: codeTexts as readonly string[] };
}

function readCode(text: string): CodePattern | null {
  const parts = text.split(".").map((part): readonly [number, number] | null => {
    if (part === "*") return [0, 255];
    const match = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(part);
    if (!match) return null;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    return from <= to && to <= 255 ? [from, to] : null;
  });
  const ranges = parts.filter((part) => part !== null);
  return ranges.length === 4 && parts.length === 4 && ranges[0]![0] === 127 && ranges[0]![1] === 127 ? ranges : null;
}
