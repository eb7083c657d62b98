/** The server's own sinks of submission: who may log in, from what he may send, and how much. Bound only where there is a submission listener. */
import type { EventName } from "../events/event.ts";
import type { Sink } from "../events/sink.ts";
import type { Clock } from "../platform/clock.ts";
import { PasswordChecks } from "../platform/password.ts";
import type { Rate } from "../platform/value.ts";
import { userRate } from "./submission-rate.ts";
import { senderLoginMatch } from "./submission-sender.ts";
import { type AcceptedUsers, usersSink } from "./submission-users.ts";
import type { UsersFile } from "./users-file.ts";

export interface SubmissionOptions {
  readonly users: UsersFile;
  readonly clock: Clock;
  /** Names of the listeners with the role submission. */
  readonly listeners: readonly string[];
  /** `auth` of the configuration, as it is now. */
  readonly settings: () => { readonly senderMustMatch: boolean; readonly rate: Rate | null };
}

/** A sink of the server's own, the events it is bound to, and which of them it is asked about. */
export interface SubmissionBinding {
  readonly sink: Sink;
  readonly events: readonly EventName[];
  readonly rule: string;
}

/** None where no listener takes submissions. */
export function submissionBindings({
  users,
  clock,
  listeners,
  settings,
}: SubmissionOptions): readonly SubmissionBinding[] {
  if (listeners.length === 0) return [];
  const accepted: AcceptedUsers = new WeakMap();
  // Elsewhere AUTH is not offered for their sake.
  const rule = listeners.map((name) => `LISTENER=${name}`).join("; ");
  return [
    { sink: usersSink({ users, passwords: new PasswordChecks(), clock, accepted }), events: ["onAuth"], rule },
    {
      sink: senderLoginMatch({
        users,
        accepted,
        listeners: new Set(listeners),
        mustMatch: () => settings().senderMustMatch,
      }),
      events: ["onMailFrom", "onArrival"],
      rule,
    },
    { sink: userRate({ users, clock, rate: () => settings().rate }), events: ["onRcptTo"], rule },
  ];
}
