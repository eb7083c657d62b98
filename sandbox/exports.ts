/** What a script may export. Checked when it is loaded, so that a script that cannot work never becomes the live one. */
import { GrantsError, grantsLengthMax, readGrants } from "./export-grants.ts";
import { plainLine } from "./plain-line.ts";
import { type Grants, type ScriptExports, ScriptFaultError } from "./protocol.ts";

/** Name, type and, for plain values, the value as text, for grants as JSON: how the guest tells of an export. */
export type ExportedName = readonly [name: string, type: string, value: string];

/** Events a script can handle. */
export const handlerNames: readonly string[] = [
  "onConnect",
  "onHelo",
  "onMailFrom",
  "onRcptTo",
  "onData",
  "onHeaders",
  "onArrival",
  "onPreCategorize",
  "onPostCategorize",
  "onRoute",
  "onLocalDelivery",
  "onDsn",
  "onDelivered",
  "onDeferred",
  "onFailed",
];
/** Events there are that only native sinks handle, and what a script does instead. */
const nativeOnly: Readonly<Record<string, string>> = {
  onTls: "its facts are in session.tls at every later event",
  onAuth: "session.user says who logged in",
  onEndOfData: "onArrival is asked at the same moment",
  onCommand: "the events of the commands are onHelo, onMailFrom, onRcptTo and onData",
  onReply: "refuse and defer say the words of a reply",
  onReset: "a native sink does",
  onDisconnect: "a native sink does",
  onCategorize: "onRcptTo and onArrival change recipients",
  onResolve: "onRoute names a host",
  onOversize: "a native sink does",
  onTrack: "onDelivered, onDeferred and onFailed tell how attempts end",
  onLog: "a native sink does",
};
const faultActions: readonly string[] = ["defer", "proceed", "quarantine", "refuse"];
const phases: readonly string[] = ["session", "queue"];
const priorityMax = 32_767;
const ruleLengthMax = 4_096;
const exampleHandler = "export const onArrival = (mail) => { … }";
const exampleWorker = "export default { async email(message, env, ctx) { … } }";

/** @throws {ScriptFaultError} `script.exports` */
export function checkExports(names: readonly ExportedName[]): ScriptExports {
  const found: { -readonly [Key in keyof ScriptExports]?: ScriptExports[Key] } = {};
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
        if (type !== "boolean") refuse(`${name} is true or false, not ${article(type)}`);
        found[name] = value === "true";
        break;
      case "split":
        refuse("split is not supported by this version: a script sees the whole message, and mail.matchedRecipients");
        break;
      case "grants":
        found.grants = grantsOf(type, value);
        break;
      case "default":
        if (value !== "email")
          refuse(`A default export is a worker, with a function email: write ${exampleWorker}, or ${exampleHandler}`);
        found.worker = true;
        break;
      default:
        if (/^on[A-Z]/.test(name) || nearHandler(name)) handlers.push(checkHandler(name, type));
    }
  }
  if (found.worker) {
    if (handlers.includes("onArrival"))
      refuse("The script exports both a worker and onArrival, and both would handle the same messages: keep one");
    handlers.push("onArrival");
  }
  if (handlers.length === 0) refuse(`The script exports no handler: write ${exampleHandler}`);
  if (found.phase === "queue" && !handlers.includes("onArrival"))
    refuse("phase is of onArrival, and the script does not export it: leave phase out");
  return { handlers, ...found };
}

function checkHandler(name: string, type: string): string {
  const shown = plainLine(name, 60);
  if (!handlerNames.includes(name)) {
    const meant = nearHandler(name);
    if (meant) refuse(`${shown} is no handler: did you mean ${meant}?`);
    refuse(
      Object.hasOwn(nativeOnly, name)
        ? `${shown} cannot be handled by scripts: ${nativeOnly[name]}`
        : `${shown} cannot be handled: there is no such event; scripts handle ${handlerNames.join(", ")}`,
    );
  }
  if (type !== "function") refuse(`${shown} is a function, not ${article(type)}`);
  return name;
}

function nearHandler(name: string): string | undefined {
  return handlerNames.find((known) => known.toLowerCase() === name.toLowerCase());
}

function grantsOf(type: string, json: string): Grants {
  if (type !== "object")
    refuse(`grants is an object such as { http: ["https://directory.example.org"] }, not ${article(type)}`);
  if (json.length > grantsLengthMax) refuse(`grants has at most ${grantsLengthMax} characters`);
  try {
    return readGrants(JSON.parse(json));
  } catch (error) {
    if (error instanceof GrantsError) refuse(error.message);
    // What has a toJSON, or nothing that JSON can say.
    refuse("grants is a plain object: texts, numbers, true and lists of them");
  }
}

function article(type: string): string {
  return /^(?:null|undefined)$/.test(type) ? type : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function refuse(message: string): never {
  throw new ScriptFaultError({ code: "script.exports", message, at: null, stack: "" });
}
