/** Badmail: messages kept apart, each in a folder of its own with the reason beside it, until somebody releases or removes them. */
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { idPattern } from "../mail/ids.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import { syncFolder, writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";

/** Why a message is here. */
export interface BadMailReason {
  readonly reason: string;
  /** Binding whose verdict it was. */
  readonly binding: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

const asideSuffix = ".tmp";

export class BadMail {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Keeps a message as `ID/message.eml` with its envelope, origin and reason in `ID/reason.json`, durably: once this resolves it is in custody.
   * @throws the file system's error; then nothing is kept
   */
  async keep(message: Message, reason: BadMailReason): Promise<void> {
    if (!idPattern.test(message.id))
      throw new Error(`Cannot keep a message under the name ${JSON.stringify(message.id)}: expected a message id`);
    // Written aside and given its name last: after a crash an id stands for a message with its reason, or is not there.
    const folder = join(this.folder, message.id);
    const aside = `${folder}${asideSuffix}`;
    await makeFolderDurably(aside);
    let left = aside;
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of message.chunks()) chunks.push(chunk);
      await writeDurably(join(aside, "message.eml"), chunks);
      const { reversePath, recipients, options } = message.envelope;
      const record = {
        id: message.id,
        receivedAt: new Date(message.receivedAt).toISOString(),
        quarantinedAt: new Date(reason.at).toISOString(),
        reason: reason.reason,
        binding: reason.binding,
        from: formatReversePath(reversePath),
        to: recipients.map((recipient) => formatMailbox(recipient.mailbox)),
        // Absent where nothing was asked; a recipient's are in its place.
        options,
        toOptions: recipients.some((recipient) => recipient.options)
          ? recipients.map((recipient) => recipient.options ?? null)
          : undefined,
        origin: message.origin,
      };
      await writeDurably(join(aside, "reason.json"), [Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
      await rename(aside, folder);
      left = folder;
      await syncFolder(this.folder);
    } catch (error) {
      await rm(left, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
  }

  /**
   * Removes what a killed server left half written; call it before the first `keep`. Such a message was never answered 250. Gives how many there were.
   * @throws the file system's error
   */
  async sweep(): Promise<number> {
    const left = (await readdir(this.folder).catch(() => [])).filter(isHalfWritten);
    for (const name of left) await rm(join(this.folder, name), { recursive: true, force: true });
    return left.length;
  }

  /** Ids of all that is kept. */
  async ids(): Promise<string[]> {
    return (await readdir(this.folder).catch(() => [])).filter((name) => idPattern.test(name));
  }
}

/** What `keep` writes aside: nothing else in the folder is ours to remove. */
function isHalfWritten(name: string): boolean {
  return name.endsWith(asideSuffix) && idPattern.test(name.slice(0, -asideSuffix.length));
}
