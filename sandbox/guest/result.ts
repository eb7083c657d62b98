/**
 * Runs inside the isolate: a run's answer as text. Built piece by piece from texts and numbers, so that no `toJSON`, getter or prototype of a
 * script has a say in it. One letter for each thing the child has to know is in front of it, up to the `|`.
 */
import { changedNotes } from "./notes.ts";
import { quote, slice } from "./primordials.ts";
import type { RunState } from "./run-state.ts";
import type { Thrown } from "./thrown.ts";

/** `c` changed something · `f` changed fields · `v` verdict, settled, or powers called · `b` edits the body · `s` makes messages · `x` fault · `m`, `t` missed octets or texts · `l` looked. */
export function formatResult(state: RunState): string {
  if (state.missed !== "") return state.missed === "text" ? "t|" : "m|";
  if (state.fault) return formatFault(state, state.fault);
  const notes = changedNotes(state);
  const bodyEdited = state.edits !== "";
  const submits = state.submissions !== "";
  const wayGiven = state.routes !== "" || state.folders !== "" || state.refusals !== "";
  const changed =
    state.fieldsChanged || state.from !== undefined || state.to !== undefined || notes !== "" || wayGiven || submits;
  // Those behind this one see what became of the powers: they are asked anew.
  const judged = state.verdict !== "" || state.settled || state.powers !== "";
  const flags = `${changed ? "c" : ""}${state.fieldsChanged ? "f" : ""}${judged ? "v" : ""}${bodyEdited ? "b" : ""}${submits ? "s" : ""}${state.looked ? "l" : ""}`;
  const verdict =
    state.verdict !== ""
      ? state.verdict
      : state.settled
        ? '{"kind":"proceed","settled":true}'
        : '{"kind":"proceed","settled":false}';
  const body = `${bodyEdited ? `"edits":[${state.edits}],` : ""}${submits ? `"submissions":[${state.submissions}],` : ""}`;
  const text = `${body}"effects":${changed || state.powers !== "" ? formatEffects(state, notes) : "{}"},"verdict":${verdict},"log":[${state.log}]`;
  if (text.length > state.step.resultOctetsMax) {
    return formatFault(state, {
      code: "script.action-limit",
      message: `More than ${state.step.resultOctetsMax} octets of edits and log in one run`,
      stack: "",
    });
  }
  return `${flags}|${text}`;
}

/** The answer of a run that failed: its log, and why. */
export function formatFault(state: RunState, fault: Thrown & { readonly code: string }): string {
  const reason = `"code":${quote(fault.code)},"message":${quote(fault.message)},"stack":${quote(slice(fault.stack, 0, 8_192))}`;
  return `x${state.looked ? "l" : ""}|"log":[${state.log}],"fault":{${reason}}`;
}

/** The log of a run that cannot be asked any more. */
export function formatLog(state: RunState | null): string {
  return state === null ? "[]" : `[${state.log}]`;
}

function formatEffects(state: RunState, notes: string): string {
  let text = "";
  if (state.from !== undefined) text += `"from":${state.from === null ? "null" : quote(state.from)}`;
  if (state.to !== undefined) text += `${text === "" ? "" : ","}"to":${formatTexts(state.to)}`;
  if (state.fieldsChanged) text += `${text === "" ? "" : ","}"fields":[${formatFields(state)}]`;
  if (notes !== "") text += `${text === "" ? "" : ","}"notes":${notes}`;
  if (state.routes !== "") text += `${text === "" ? "" : ","}"routes":[${state.routes}]`;
  if (state.folders !== "") text += `${text === "" ? "" : ","}"folders":[${state.folders}]`;
  if (state.refusals !== "") text += `${text === "" ? "" : ","}"refusals":[${state.refusals}]`;
  if (state.powers !== "") text += `${text === "" ? "" : ","}"powers":[${state.powers}]`;
  return `{${text}}`;
}

function formatFields(state: RunState): string {
  const fields = state.fields ?? [];
  let text = "";
  for (let i = 0; i < fields.length; i++) {
    const { index, name, value } = fields[i]!;
    text += `${i === 0 ? "" : ","}${index >= 0 ? `${index}` : `[${quote(name)},${quote(value)}]`}`;
  }
  return text;
}

function formatTexts(texts: readonly string[]): string {
  let text = "[";
  for (let i = 0; i < texts.length; i++) text += (i === 0 ? "" : ",") + quote(texts[i]!);
  return `${text}]`;
}
