/** The verbs of `onarrival badmail`, their flags and their help. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addBadMailVerbs(badmail: Command, { settings, addVerb, context, done }: VerbParts): void {
  const load = () => import("./badmail.ts");
  settings(addVerb(badmail, "list", "what was kept apart, oldest first"))
    .option("--older <time>", "only what was put there longer ago, such as 7d")
    .option("--binding <id>", "only what this binding put there")
    .option("--limit <count>", "at most so many", "1000")
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await load()).listBadMail(flags, context)));
  settings(addVerb(badmail, "show <id>", "one message: its envelope, and why it is there"))
    .option("--header", "its header")
    .option("--raw", "the whole message")
    .option("--json", "as one JSON document")
    .action(async (id: string, flags) => done(await (await load()).showBadMail(id, flags, context)));
  settings(
    addVerb(badmail, "release <id...>", "put messages back on their way, without asking again what put them there", [
      ["onarrival badmail release 1M856RFZ4NB3GV0X --to ann@example.test", "to somebody else than it was for"],
    ]),
  )
    .option("--to <address>", "in the place of its recipients; repeatable", collect)
    .option("--again", "ask onArrival again, as for a message that comes in")
    .option("--json", "as one JSON document")
    .action(async (ids: string[], flags) => done(await (await load()).releaseBadMail(ids, flags, context)));
  settings(
    addVerb(badmail, "remove [id...]", "remove messages for ever", [
      ["onarrival badmail remove --older 30d --dry-run", "see what would go"],
    ]),
  )
    .option("--older <time>", "what was put there longer ago, such as 30d")
    .option("--binding <id>", "what this binding put there")
    .option("--all", "all of it")
    .option("--dry-run", "say what it would do, and change nothing")
    .option("--yes", "do not ask")
    .option("--json", "as one JSON document")
    .action(async (ids: string[], flags) => done(await (await load()).removeBadMail(ids, flags, context)));
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
