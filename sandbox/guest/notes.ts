/** Runs inside the isolate: `mail.notes`, a plain object that is read and written as one likes. It is compared when the run is over; what changed is kept with the message. */
import type { Notes } from "../api.ts";
import { jsonOf, jsonParse, octetsOf, slice } from "./primordials.ts";
import { alive, fail, invalid, type RunState } from "./run-state.ts";

/** Octets of all notes as JSON. */
const notesOctetsMax = 16_384;

export function notesOf(state: RunState): Notes {
  alive(state);
  if (state.notes === null) {
    state.notesBefore = jsonOf(state.mail.notes ?? {});
    state.notes = jsonParse(state.notesBefore) as object;
  }
  return state.notes as Notes;
}

/** The notes as JSON where the script changed them, else "". A fault where they cannot be kept. */
export function changedNotes(state: RunState): string {
  if (state.notes === null) return "";
  let text: string;
  try {
    text = jsonOf(state.notes);
  } catch {
    return invalid(
      state,
      "mail.notes holds what is no JSON: something that goes round in circles, is too deep, or a BigInt",
    );
  }
  if (text === state.notesBefore) return "";
  if (slice(text, 0, 1) !== "{") return invalid(state, "mail.notes is an object: set what is in it");
  if (octetsOf(text, notesOctetsMax) > notesOctetsMax)
    fail(
      state,
      "script.action-limit",
      `More than ${notesOctetsMax} octets of notes: they are kept with the message, put less in`,
    );
  return text;
}
