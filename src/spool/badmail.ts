/** Badmail: messages kept apart, each in a folder of its own with the reason beside it, until somebody releases or removes them. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { idPattern } from "../mail/ids.ts";
import { formatMailbox } from "../mail/mailbox.ts";
import type { Message } from "../mail/message.ts";
import { formatReversePath } from "../mail/path.ts";
import { writeDurably } from "../platform/durable-file.ts";
import { makeFolderDurably } from "../platform/durable-folder.ts";

/** Why a message is here. */
export interface BadMailReason {
  readonly reason: string;
  /** Binding whose verdict it was. */
  readonly binding: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

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
    const folder = join(this.folder, message.id);
    await makeFolderDurably(folder);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of message.chunks()) chunks.push(chunk);
      await writeDurably(join(folder, "message.eml"), chunks);
      const record = {
        id: message.id,
        receivedAt: new Date(message.receivedAt).toISOString(),
        quarantinedAt: new Date(reason.at).toISOString(),
        reason: reason.reason,
        binding: reason.binding,
        from: formatReversePath(message.envelope.reversePath),
        to: message.envelope.recipients.map((recipient) => formatMailbox(recipient.mailbox)),
        origin: message.origin,
      };
      await writeDurably(join(folder, "reason.json"), [Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
    } catch (error) {
      await rm(folder, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
  }

  /** Ids of all that is kept. */
  async ids(): Promise<string[]> {
    return (await readdir(this.folder).catch(() => [])).filter((name) => idPattern.test(name));
  }
}
