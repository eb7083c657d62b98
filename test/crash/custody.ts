/**
 * The audit behind RELIABILITY P1 and P2: what clients were told, held against what lies in the Maildirs and in the queue.
 * Works on lists alone.
 */
import type { Accepted, Journal } from "./load.ts";

/** One message of the load, as it was found. */
export interface Delivered {
  readonly marker: string;
  /** The mailbox, or where else it is; see places.ts. */
  readonly place: string;
  /** null where only its header is there, as in a report. */
  readonly bodyHash: string | null;
  /** Whether the script's edits are in it. */
  readonly edited: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly writtenAt: number;
}

/** A time in which the server was killed: from the signal to the end of the process. Milliseconds since the Unix epoch. */
export interface KillWindow {
  readonly from: number;
  readonly to: number;
}

export interface CustodyReport {
  readonly accepted: number;
  readonly refused: number;
  readonly inDoubt: number;
  /** Messages in doubt that somebody got after all. */
  readonly inDoubtDelivered: number;
  /** Deliveries found: a message counts once for each of its recipients, a duplicate again. */
  readonly deliveries: number;
  readonly queued: number;
  /** Recipients that got a message more than once. */
  readonly duplicates: number;
  readonly largeBodies: number;
  /** Sentences; empty where every promise held. */
  readonly violations: readonly string[];
}

export interface CustodyEvidence {
  readonly journal: Journal;
  readonly delivered: readonly Delivered[];
  readonly queuedIds: ReadonlySet<string>;
  readonly kills: readonly KillWindow[];
  /** Whether `editingScript` ran over every message. Default true. */
  readonly isEdited?: boolean;
}

/** Holds what clients were told against what is there. */
export function auditCustody({
  journal,
  delivered,
  queuedIds,
  kills,
  isEdited = true,
}: CustodyEvidence): CustodyReport {
  const violations: string[] = [];
  const copies = new Map<string, Delivered[]>();
  const markers = new Set<string>();
  for (const one of delivered) {
    const key = `${one.marker} ${one.place}`;
    copies.set(key, [...(copies.get(key) ?? []), one]);
    markers.add(one.marker);
  }

  for (const message of journal.accepted) violations.push(...auditAccepted(message, copies, { queuedIds, isEdited }));
  for (const { marker, reply } of journal.refused) {
    if (markers.has(marker)) violations.push(`${marker}: delivered although it was answered ${reply}`);
  }

  let duplicates = 0;
  for (const [key, found] of copies) {
    if (found.length < 2) continue;
    duplicates++;
    const times = found.map((one) => one.writtenAt).sort((one, other) => one - other);
    for (let i = 1; i < times.length; i++) {
      const [before, after] = [times[i - 1]!, times[i]!];
      if (!kills.some((kill) => before <= kill.to && after >= kill.from))
        violations.push(`${key}: delivered twice without a kill in between`);
    }
  }

  return {
    accepted: journal.accepted.length,
    refused: journal.refused.length,
    inDoubt: journal.inDoubt.length,
    inDoubtDelivered: journal.inDoubt.filter((marker) => markers.has(marker)).length,
    deliveries: delivered.length,
    queued: queuedIds.size,
    duplicates,
    largeBodies: journal.accepted.filter((message) => message.bodyOctets > 256 * 1024).length,
    violations,
  };
}

function auditAccepted(
  message: Accepted,
  copies: ReadonlyMap<string, readonly Delivered[]>,
  { queuedIds, isEdited }: Required<Pick<CustodyEvidence, "queuedIds" | "isEdited">>,
): string[] {
  const violations: string[] = [];
  for (const place of message.places) {
    const found = copies.get(`${message.marker} ${place}`);
    if (found === undefined) {
      if (!queuedIds.has(message.id))
        violations.push(`${message.marker} (${message.id}) for ${place}: answered 250, neither delivered nor queued`);
      continue;
    }
    for (const copy of found) {
      if (copy.bodyHash !== null && copy.bodyHash !== message.bodyHash)
        violations.push(`${message.marker} (${message.id}) for ${place}: the body differs from what was sent`);
      if (isEdited && !copy.edited)
        violations.push(`${message.marker} (${message.id}) for ${place}: delivered without the script's edits`);
    }
  }
  return violations;
}
