/** What `onarrival scripts check` says of one script, as JSON and in lines for people. */
import type { ScriptFault } from "../../sandbox/protocol.ts";
import { shortVersion } from "./script-places.ts";
import { type Output, plain } from "./terminal.ts";

/** Of the type checker, with its numbers as codes (`TS2339`), or of the review. */
export interface ScriptFinding {
  readonly code: string;
  readonly message: string;
  /** null where the message says it all. */
  readonly advice: string | null;
  /** `scripts/x.ts:12:7` */
  readonly at: string;
}

/** How one file fared. */
export interface ScriptCheck {
  readonly script: string;
  /** Whether it would go live. */
  readonly ok: boolean;
  readonly version: string | null;
  readonly events: readonly string[];
  readonly priority: number | null;
  readonly rule: string | null;
  readonly onFault: string | null;
  readonly enabled: boolean | null;
  /** What it asks for, in words; somebody may have to approve it. */
  readonly grants: readonly string[];
  readonly findings: readonly ScriptFinding[];
  readonly fault: (Omit<ScriptFault, "code"> & { readonly code: string }) | null;
}

export function formatCheck(check: ScriptCheck, out: Output, nameWidth = 0): string {
  const { script, ok, findings, fault } = check;
  const name = plain(script).padEnd(nameWidth);
  const lines = ok
    ? [
        `${out.paint("green", "ok")}     ${name}  ${out.paint("dim", shortVersion(check.version))}  ${factsOf(check).join(" · ")}`,
      ]
    : [`${out.paint("red", "broken")} ${name}  ${out.paint("red", fault?.code ?? "")}`];
  // Type errors stand below, every one of them.
  if (fault !== null && findings.length === 0)
    lines.push(`       ${fault.at ? `${plain(fault.at)}: ` : ""}${plain(fault.message)}`);
  const own = `${script}:`;
  const places = findings.map(({ at }) => plain(at.startsWith(own) ? at.slice(own.length) : at));
  const placeWidth = Math.max(0, ...places.map((place) => place.length));
  const codeWidth = Math.max(0, ...findings.map(({ code }) => code.length));
  for (const [at, { code, message, advice }] of findings.entries()) {
    const words = advice === null ? plain(message) : `${plain(message)} ${out.paint("dim", plain(advice))}`;
    const style = code.startsWith("TS") ? "red" : "yellow";
    lines.push(`       ${places[at]!.padEnd(placeWidth)}  ${out.paint(style, code.padEnd(codeWidth))}  ${words}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function factsOf({ events, priority, rule, enabled, grants }: ScriptCheck): readonly string[] {
  return [
    events.join(", "),
    ...(priority === null ? [] : [`priority ${priority}`]),
    ...(rule === null ? [] : [`rule ${plain(rule)}`]),
    ...(enabled === false ? ["disabled"] : []),
    ...(grants.length === 0 ? [] : [`asks for ${plain(grants.join(", "))}`]),
  ];
}
