/** Ways in beside the listeners: the pickup folder, the command line, and back out of badmail. */
import { type SubmitControl, submitRecipientsMax } from "./admin/submit-control.ts";
import type { Config } from "./config/schema.ts";
import { BadMailDesk } from "./inbound/badmail-desk.ts";
import type { CustodyOptions } from "./inbound/custody.ts";
import type { Room } from "./inbound/disk-space.ts";
import { Entrance } from "./inbound/entrance.ts";
import { Pickup } from "./inbound/pickup.ts";
import type { BadMail } from "./spool/badmail.ts";
import { BadMailRetention } from "./spool/badmail-retention.ts";

export interface EntranceParts {
  readonly config: Config;
  readonly custody: Omit<CustodyOptions, "badmail"> & { readonly badmail: BadMail; readonly room: Room };
}

export interface Entrances {
  readonly desk: BadMailDesk;
  readonly submit: SubmitControl;
  /** From here on what lies in the pickup folder is sent. */
  start(): Promise<void>;
  /** Waits for what is being taken. */
  close(): Promise<void>;
}

/** How long a file in hand may take when the server stops. */
const drainMs = 30_000;

export function createEntrances({ config, custody }: EntranceParts): Entrances {
  const { badmail, spool, clock, log } = custody;
  const entrance = new Entrance({
    ...custody,
    hostname: config.hostname,
    sizeOctetsMax: Math.max(...config.listeners.map(({ limits }) => limits.sizeOctetsMax)),
    recipientsMax: submitRecipientsMax,
  });
  const retention = new BadMailRetention({ badmail, clock, log, ...config.badmail });
  const pickup = config.pickup.enabled
    ? new Pickup({ folder: config.pickup.folder, entrance, badmail, spool, clock, log })
    : null;
  return {
    desk: new BadMailDesk({ badmail, spool, entrance, clock, log }),
    submit: entrance,
    async start() {
      retention.start();
      await pickup?.start();
    },
    async close() {
      await pickup?.stop(drainMs);
      await retention.stop();
    },
  };
}
