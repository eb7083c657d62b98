/** `// onarrival-ignore: code reason`: silences findings of that code on its own line, or on the next one where it stands alone. */
import { type Finding, type FindingCode, findingCodes } from "./review-finding.ts";

interface Ignore {
  readonly file: string;
  /** Where the comment is, from 1. */
  readonly line: number;
  readonly column: number;
  /** The line it is about. */
  readonly about: number;
  readonly code: string;
  readonly reason: string;
}

/**
 * Findings that are left; and findings about comments that silence nothing. Of those only in the script's own file: what is imported may be
 * used in another way by another script.
 */
export function withoutIgnored(
  findings: readonly Finding[],
  sources: Readonly<Record<string, string>>,
  own: string,
): readonly Finding[] {
  const ignores = Object.entries(sources).flatMap(([file, text]) => ignoresIn(file, text));
  const used = new Set<Ignore>();
  const left = findings.filter(({ code, at }) => {
    const match = ignores.find(
      (one) => one.code === code && one.reason !== "" && at.startsWith(`${one.file}:${one.about}:`),
    );
    if (match) used.add(match);
    return !match;
  });
  const useless = ignores.flatMap((one): Finding[] => {
    const problem = problemOf(one, used.has(one));
    if (problem === undefined || one.file !== own) return [];
    return [{ code: "ignore", ...problem, at: `${one.file}:${one.line}:${one.column}` }];
  });
  return [...left, ...useless];
}

function problemOf({ code, reason }: Ignore, isUsed: boolean): Pick<Finding, "message" | "advice"> | undefined {
  if (!findingCodes.includes(code as FindingCode))
    return { message: `There is no finding ${code}.`, advice: `The codes are ${findingCodes.join(", ")}.` };
  if (reason === "")
    return {
      message: "The comment gives no reason, and silences nothing.",
      advice: `Write // onarrival-ignore: ${code} and why.`,
    };
  return isUsed
    ? undefined
    : { message: `There is nothing of ${code} here any more.`, advice: "Take the comment out." };
}

function ignoresIn(file: string, text: string): readonly Ignore[] {
  const lines = text.split(/\r?\n/);
  return lines.flatMap((line, at): Ignore[] => {
    const match = /\/\/\s*onarrival-ignore:\s*([\w-]+)(.*)$/.exec(line);
    if (!match) return [];
    const isAlone = line.slice(0, match.index).trim() === "";
    // Several may stand above one another.
    const next = lines.findIndex((other, below) => below > at && !/^\s*(?:\/\/.*)?$/.test(other));
    return [
      {
        file,
        line: at + 1,
        column: match.index + 1,
        about: (isAlone && next !== -1 ? next : at) + 1,
        code: match[1]!,
        reason: match[2]!.trim(),
      },
    ];
  });
}
