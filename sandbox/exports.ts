/** What a script may export. Checked when it is loaded, so that a script that cannot work never becomes the live one. */
import { plainLine } from "./plain-line.ts";
import { type ScriptExports, ScriptFaultError } from "./protocol.ts";

/** Name, type and, for plain values, the value as text: how the guest tells of an export. */
export type ExportedName = readonly [name: string, type: string, value: string];

/** Events a script can handle in this version. */
export const handlerNames: readonly string[] = ["onArrival"];
const faultActions: readonly string[] = ["defer", "proceed", "quarantine", "refuse"];
const phases: readonly string[] = ["session", "queue"];
const priorityMax = 32_767;
const ruleLengthMax = 4_096;
const exampleHandler = "export const onArrival = (mail) => { … }";

/** @throws {ScriptFaultError} `script.exports` */
export function checkExports(names: readonly ExportedName[]): ScriptExports {
  const found: { rule?: string; priority?: number; phase?: string; onFault?: string; enabled?: boolean } = {};
  const handlers: string[] = [];
  for (const [name, type, value] of names) {
    switch (name) {
      case "rule":
        if (type !== "string" || value.length > ruleLengthMax)
          refuse(`rule is a text of at most ${ruleLengthMax} characters, not ${article(type)}`);
        found.rule = value;
        break;
      case "priority":
        if (type !== "number" || !Number.isInteger(Number(value)) || Number(value) < 0 || Number(value) > priorityMax) {
          refuse(
            `priority is a whole number from 0 to ${priorityMax}, not ${type === "number" ? value : article(type)}`,
          );
        }
        found.priority = Number(value);
        break;
      case "phase":
        if (type !== "string" || !phases.includes(value))
          refuse(
            `phase is "session" (before the reply) or "queue" (behind it), not ${type === "string" ? JSON.stringify(value.slice(0, 40)) : article(type)}`,
          );
        found.phase = value;
        break;
      case "onFault":
        if (type !== "string" || !faultActions.includes(value))
          refuse(`onFault is one of ${faultActions.map((action) => `"${action}"`).join(", ")}`);
        found.onFault = value;
        break;
      case "enabled":
        if (type !== "boolean") refuse(`enabled is true or false, not ${article(type)}`);
        found.enabled = value === "true";
        break;
      case "grants":
        refuse("grants are not supported by this version: scripts have no network, no DNS and no store yet");
        break;
      case "split":
        refuse("split is not supported by this version: a script sees the whole message, and mail.matchedRecipients");
        break;
      case "default":
        refuse(
          value === "email"
            ? `A default export with email() is not supported by this version: write ${exampleHandler}`
            : `A default export is no handler: write ${exampleHandler}`,
        );
        break;
      default:
        if (/^on[A-Za-z]/.test(name)) handlers.push(checkHandler(name, type));
    }
  }
  if (handlers.length === 0) refuse(`The script exports no handler: write ${exampleHandler}`);
  return { handlers, ...found };
}

function checkHandler(name: string, type: string): string {
  const shown = plainLine(name, 60);
  if (!handlerNames.includes(name)) {
    const meant = handlerNames.find((known) => known.toLowerCase() === name.toLowerCase());
    refuse(
      meant
        ? `${shown} is no handler: did you mean ${meant}?`
        : `${shown} cannot be handled: scripts handle ${handlerNames.join(", ")} in this version`,
    );
  }
  if (type !== "function") refuse(`${shown} is a function, not ${article(type)}`);
  return name;
}

function article(type: string): string {
  return /^(?:null|undefined)$/.test(type) ? type : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function refuse(message: string): never {
  throw new ScriptFaultError({ code: "script.exports", message, at: null, stack: "" });
}
