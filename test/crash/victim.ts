/** Servers that the crash tests kill: ours, and Postfix and Exim for comparison, all behind one face. */
import { globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Exim } from "../support/peers/exim.ts";
import { Postfix } from "../support/peers/postfix.ts";
import { Site } from "../support/site.ts";
import type { Delivered } from "./custody.ts";
import { type Addressee, editingScript, mailboxesOf } from "./load.ts";
import { readMaildirs, readMarks } from "./places.ts";

export interface Victim {
  readonly name: string;
  readonly smtpPort: number;
  readonly addressees: readonly Addressee[];
  /** Finds the id in the words of its 250. */
  readonly idPattern: RegExp;
  /** Whether `editingScript` runs in it. */
  readonly isEdited: boolean;
  /** SIGKILL to all of it. */
  kill9(): Promise<void>;
  /** Starts it on what is there; resolves when it takes mail. */
  up(): Promise<void>;
  /** Waits until nothing is due any more. Gives the ids of what is left in its queue. */
  settle(): Promise<ReadonlySet<string>>;
  delivered(): readonly Delivered[];
  remove(): Promise<void>;
}

/** Our server with a script that edits every message. */
export async function startOurs(): Promise<Victim> {
  const site = await Site.start({ scripts: { "edit.ts": editingScript } });
  return {
    name: "OnArrival",
    smtpPort: site.smtpPort,
    addressees: mailboxesOf("example.test"),
    idPattern: /queued as ([0-9A-Z]{16})$/,
    isEdited: true,
    kill9: () => site.kill9(),
    up: () => site.up(),
    async settle() {
      await site.drained();
      return new Set(await site.queuedIds());
    },
    delivered: () => readMaildirs(join(site.dataFolder, "mail/example.test")),
    remove: () => site.remove(),
  };
}

export async function startPostfix(): Promise<Victim> {
  // It cannot do without a route; nothing is sent there.
  const postfix = await Postfix.start({ "elsewhere.test": { port: 9 } });
  return {
    name: "Postfix",
    smtpPort: postfix.ports.clear,
    addressees: mailboxesOf("postfix.test"),
    idPattern: /queued as ([0-9A-Za-z]+)$/,
    isEdited: false,
    kill9: () => postfix.kill9(),
    up: () => postfix.up(),
    settle: () => postfix.settle(),
    delivered: () => readOneMaildir(join(postfix.folder, "mail/all/new/*"), /^Delivered-To: (.*)@/m),
    remove: () => postfix.remove(),
  };
}

export async function startExim(): Promise<Victim> {
  const exim = await Exim.start({ routes: {}, user: { name: "nobody", password: "nothing" } });
  return {
    name: "Exim",
    smtpPort: exim.ports.clear,
    addressees: mailboxesOf("exim.test"),
    idPattern: /id=(\S+)$/,
    isEdited: false,
    kill9: () => exim.kill9(),
    up: () => exim.up(),
    settle: () => exim.settle(),
    delivered: () => readOneMaildir(join(exim.folder, "mail/new/*"), /^Envelope-to: (.*)@/m),
    remove: () => exim.remove(),
  };
}

/** A Maildir in which all mailboxes are one; who a copy is for stands in a field. */
function readOneMaildir(files: string, recipient: RegExp): Delivered[] {
  return globSync(files).map((file) => {
    const octets = readFileSync(file);
    const place = recipient.exec(octets.toString("latin1", 0, 16_384))?.[1] ?? "nobody";
    return { place, writtenAt: statSync(file).mtimeMs, ...readMarks(octets) };
  });
}
