/** Which versions of scripts had a part in a message: kept among its notes, so that the queue, badmail and the log can tell. */
import type { Message } from "./message.ts";

/** Name of the note. */
export const scriptsNote = "onarrival.scripts";

export interface ScriptRecord {
  /** `scripts/a.ts` */
  readonly script: string;
  /** `sha256:…` */
  readonly version: string;
  readonly event: string;
}

/** In the order in which they ran; each once. */
export function scriptRecords({ notes }: Pick<Message, "notes">): readonly ScriptRecord[] {
  const records = notes[scriptsNote];
  return Array.isArray(records) ? records.filter(isRecord) : [];
}

/** `scripts/a.ts@0123456789ab`, for a line of the log. */
export function describeScriptRecord({ script, version }: ScriptRecord): string {
  return `${script}@${version.replace(/^sha256:(.{12}).*$/, "$1")}`;
}

function isRecord(value: unknown): value is ScriptRecord {
  const { script, version, event } = (value ?? {}) as Partial<ScriptRecord>;
  return typeof script === "string" && typeof version === "string" && typeof event === "string";
}
