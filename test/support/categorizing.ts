/** Categorising with the server's own sink over aliases written in a test, and sinks of the test's before it. */
import type { Binding } from "../../src/events/binding.ts";
import { Dispatcher } from "../../src/events/dispatcher.ts";
import type { ScriptRunner } from "../../src/events/script-runner.ts";
import type { Resolution } from "../../src/events/subject-transport.ts";
import { parseAliasFile } from "../../src/mail/alias-file.ts";
import { formatMailbox, type Mailbox } from "../../src/mail/mailbox.ts";
import { parseMailboxFile } from "../../src/mail/mailbox-file.ts";
import type { Message } from "../../src/mail/message.ts";
import { formatReversePath } from "../../src/mail/path.ts";
import { formatReply } from "../../src/mail/status.ts";
import { createCategorizer } from "../../src/queue/categorize.ts";
import type { Categorized } from "../../src/queue/ports.ts";
import { AddressTable } from "../../src/sinks/address-table.ts";
import { categorizer } from "../../src/sinks/categorizer.ts";
import { serverBindings } from "../../src/sinks/load-sinks.ts";
import { createFakeClock } from "./fake-clock.ts";
import { createRecordingLog } from "./recording-log.ts";

/** No script is bound in these tests. */
export const noScripts: ScriptRunner = { run: () => Promise.reject(new Error("no script is bound")) };

export interface CategorizingSite {
  /** As the alias file has them. */
  readonly aliases?: string;
  /** As the file of mailboxes has them; absent: every local part has one. */
  readonly mailboxes?: string;
  readonly bindings?: readonly Binding[];
  /** Without the server's own sink. */
  readonly bare?: boolean;
}

export function createCategorizing({ aliases = "", mailboxes, bindings = [], bare = false }: CategorizingSite = {}) {
  const clock = createFakeClock();
  const log = createRecordingLog();
  const file = parseAliasFile(aliases);
  if (file.problems.length > 0) throw new Error(JSON.stringify(file.problems));
  const table = new AddressTable({
    aliases: file.entries,
    mailboxes: mailboxes === undefined ? null : parseMailboxFile(mailboxes),
    included: new Map(),
  });
  const domains = { local: new Set(["example.test"]), plus: "+" };
  const book = {
    resolve: (mailbox: Mailbox, expandedFrom: readonly Mailbox[] = []) => table.resolve(mailbox, domains, expandedFrom),
    mailboxOf: (mailbox: Mailbox) => table.mailboxOf(mailbox, domains),
  };
  const events = new Dispatcher({ log, clock, scripts: noScripts });
  const own = serverBindings([{ sink: categorizer(book), events: ["onCategorize"] }]);
  events.replaceBindings([...bindings, ...(bare ? [] : own)]);
  const kept: { message: Message; reason: string; binding: string | null }[] = [];
  const categorize = createCategorizer({
    events,
    clock,
    log,
    quarantine: async (message, why) => void kept.push({ message, ...why }),
  });
  return { clock, log, events, book, kept, categorize: (message: Message) => categorize(message, "ATTEMPT000000001") };
}

/** What came of it, a line for each message and failure: `ann@x: bob@y, carla@z` · `failed bob@y: 550 …`. */
export function describeCategorized(result: Categorized): readonly string[] {
  switch (result.kind) {
    case "unchanged":
      return ["unchanged"];
    case "refused":
    case "deferred":
      return [`${result.kind}: ${formatReply(result.reply)}`];
    case "discarded":
    case "quarantined":
      return [`${result.kind}: ${result.reason}`];
    case "changed": {
      const failed = new Set(result.failures.map(({ index }) => index));
      const line = ({ envelope }: Message, isKept: (index: number) => boolean) =>
        `${formatReversePath(envelope.reversePath)}: ${envelope.recipients
          .filter((_, index) => isKept(index))
          .map(({ mailbox }) => formatMailbox(mailbox))
          .join(", ")}`;
      return [
        line(result.message, (index) => !failed.has(index)),
        ...result.forks.map((fork) => line(fork, () => true)),
        ...result.failures.map(({ index, reply }) => {
          const { mailbox } = result.message.envelope.recipients[index]!;
          return `failed ${formatMailbox(mailbox)}: ${reply && formatReply(reply)}`;
        }),
      ];
    }
  }
}

/** A resolution that names others. */
export function expansion(...to: readonly Mailbox[]): Resolution {
  return { kind: "expand", to };
}
