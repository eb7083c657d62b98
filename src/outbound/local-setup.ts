/** Local delivery with all of its ways, put together from what the configuration says. */
import type { Tracer } from "../events/trace.ts";
import { DropFolder, type DropSettings } from "./drop.ts";
import { HttpDelivery, type HttpSettings } from "./http-delivery.ts";
import { LmtpDelivery } from "./lmtp.ts";
import { LocalDelivery, type LocalDeliveryOptions } from "./local.ts";
import { MaildirStore } from "./maildir.ts";

/** What may change while the server runs. */
export interface LocalSettings {
  /** Octets of a mailbox; 0 is no limit. */
  readonly mailboxOctetsMax: number;
  readonly drop: DropSettings;
  readonly http: HttpSettings;
}

export interface LocalSetup
  extends Pick<LocalDeliveryOptions, "events" | "log" | "clock" | "quarantine" | "mailboxOf"> {
  readonly settings: LocalSettings;
  /** Folder of the Maildirs: `<root>/<domain>/<user>`. */
  readonly maildirRoot: string;
  readonly dropFolder: string;
  /** Our name, for LHLO. */
  readonly hostName: string;
  /** Connections at a time to one server. */
  readonly connectionsMax: number;
  readonly tracer?: Tracer;
}

export interface Local extends Pick<LocalDelivery, "deliver"> {
  /** Other settings from now on. */
  reconfigure(settings: LocalSettings): void;
  /** Begins to remove what is too old. */
  start(): void;
  /** Ends every connection; attempts under way are deferred. */
  close(): Promise<void>;
}

export function createLocal(setup: LocalSetup): Local {
  const { events, log, clock, settings, hostName, connectionsMax, tracer } = setup;
  const { mailboxOctetsMax } = settings;
  const maildirs = new MaildirStore({ root: setup.maildirRoot, clock, mailboxOctetsMax });
  const drop = new DropFolder({ folder: setup.dropFolder, settings: settings.drop, clock, log });
  const lmtp = new LmtpDelivery({ hostName, clock, events, limits: { connectionsMax }, ...(tracer && { tracer }) });
  const http = new HttpDelivery({ settings: settings.http, clock, connectionsMax });
  const local = new LocalDelivery({ ...setup, maildirs, drop, lmtp, http });
  return {
    deliver: (work) => local.deliver(work),
    reconfigure(changed) {
      maildirs.mailboxOctetsMax = changed.mailboxOctetsMax;
      drop.settings = changed.drop;
      http.settings = changed.http;
    },
    start: () => drop.start(),
    async close() {
      lmtp.close();
      http.close();
      await drop.close();
    },
  };
}
