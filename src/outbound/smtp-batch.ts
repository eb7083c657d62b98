/** Commands that go out in one piece, and what is done with each reply; stepwise, each goes alone and its reply is waited for. RFC 2920 §3.1. */
import type { Mailbox } from "../mail/mailbox.ts";
import type { ClientCommand } from "../smtp/client-command.ts";
import type { ReplyStage } from "./peer-reply.ts";
import type { Conversation, Judged } from "./smtp-conversation.ts";

interface Item {
  readonly command: ClientCommand;
  readonly stage: ReplyStage;
  readonly forwardPath: Mailbox | null;
  readonly heard: (judged: Judged) => void;
}

export class Batch {
  readonly #talk: Conversation;
  readonly #stepwise: boolean;
  #items: Item[] = [];
  #sent = false;

  constructor(talk: Conversation, stepwise: boolean) {
    this.#talk = talk;
    this.#stepwise = stepwise;
  }

  /** RCPTs that wait to be sent. */
  get rcpts(): number {
    return this.#items.filter(({ stage }) => stage === "rcpt").length;
  }

  /** What `heard` throws ends the batch. @throws {PeerFailure} */
  async add(
    command: ClientCommand,
    stage: ReplyStage,
    forwardPath: Mailbox | null,
    heard: Item["heard"],
  ): Promise<void> {
    this.#items.push({ command, stage, forwardPath, heard });
    if (this.#stepwise) await this.flush();
  }

  /** The commands, for who sends them himself; `flush` then only hears. */
  take(): readonly ClientCommand[] {
    this.#sent = true;
    return this.#items.map(({ command }) => command);
  }

  /** Sends what waits, and hears the replies in their order; `first` is called behind the first of them. @throws {PeerFailure} */
  async flush(first?: () => void): Promise<void> {
    const items = this.#items;
    if (items.length === 0) return;
    if (!this.#sent) this.#talk.wire.send(...this.take());
    this.#items = [];
    this.#sent = false;
    const { replyMsMax, dataMsMax } = this.#talk.limits;
    for (const [i, { command, stage, forwardPath, heard }] of items.entries()) {
      const timeoutMs = stage === "data" ? dataMsMax : replyMsMax;
      const judged = await this.#talk.hear(timeoutMs, command.verb, stage, forwardPath);
      if (i === 0) first?.();
      heard(judged);
    }
  }
}
