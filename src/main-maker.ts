/** The maker of scripts' new messages (scripting/submissions.ts), as the configuration wants it: for the server, for rehearsals, and for tests. */
import type { Config } from "./config/schema.ts";
import type { Message } from "./mail/message.ts";
import type { Clock } from "./platform/clock.ts";
import { type Log, silentLog } from "./platform/log.ts";
import type { AnsweredLately } from "./scripting/answered.ts";
import type { IsLocal } from "./scripting/grants.ts";
import { SubmissionMaker } from "./scripting/submissions.ts";

export interface MakerParts {
  readonly config: Pick<Config, "hostname" | "listeners">;
  readonly isLocal: IsLocal;
  /** Domain of the postmaster, in whose name a message goes out that names nobody. */
  readonly postmasterDomain: () => string;
  readonly clock: Clock;
  readonly log?: Log;
  /** Takes messages into custody that no other one is committed with; absent: they are gone. */
  readonly take?: (messages: readonly Message[]) => Promise<void>;
  readonly answered?: AnsweredLately;
}

/** Makes scripts' new messages; in a rehearsal, where nobody takes them, they are gone when it is over. */
export function createMaker({
  config,
  isLocal,
  postmasterDomain,
  clock,
  log = silentLog,
  take = async () => {},
  answered,
}: MakerParts): SubmissionMaker {
  return new SubmissionMaker({
    hostname: config.hostname,
    now: () => clock.now(),
    isLocal,
    postmaster: () => ({ localPart: "postmaster", domain: postmasterDomain() }),
    sizeOctetsMax: Math.max(...config.listeners.map(({ limits }) => limits.sizeOctetsMax)),
    ...(answered && { answered }),
    take,
    log,
  });
}
