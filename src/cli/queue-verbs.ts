/** The verbs of `onarrival queue`, their flags and their help. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addQueueVerbs(queue: Command, { settings, addVerb, context, done }: VerbParts): void {
  withFilter(
    settings(
      addVerb(queue, "list [id...]", "what waits, oldest first", [
        ["onarrival queue list --state deferred --older 4h", "what has been failing for hours"],
        ["onarrival queue list --summary", "counted by domain and age: where it is stuck"],
      ]),
    ),
  )
    .option("--to <address>", "the same as --recipient, or with @domain as --domain")
    .option("--limit <count>", "at most so many", "1000")
    .option("--summary [key]", "counts by age, for each domain, sender or destination (default: domain)")
    .option("--json", "one JSON object a line")
    .action(async (ids: string[], flags) => done(await (await import("./queue.ts")).listQueue(ids, flags, context)));
  settings(addVerb(queue, "show <id>", "one message with all of its recipients"))
    .option("--header", "its header as it is kept")
    .option("--raw", "the whole message as it is kept")
    .option("--json", "as one JSON document")
    .action(async (id: string, flags) => done(await (await import("./queue.ts")).showQueueItem(id, flags, context)));

  for (const { verb, description, samples } of changes) {
    const command = withFilter(settings(addVerb(queue, `${verb} [id...]`, description, samples)))
      .option("--all", "the whole queue")
      .option("--dry-run", "say what it would do, and change nothing")
      .option("--yes", "do not ask")
      .option("--json", "as one JSON document");
    if (verb === "hold") command.option("--reason <words>", "why, for whoever looks later");
    if (verb === "bounce") command.option("--text <words>", "what the senders are told");
    command.action(async (ids: string[], flags) =>
      done(await (await import("./queue-change.ts")).changeQueue(verb, ids, flags, context)),
    );
  }

  settings(
    addVerb(queue, "shape [destination]", "where mail goes, busiest first; other limits for one destination", [
      ["onarrival queue shape mx:example.org --connections 2 --rate 100/1h", "gently"],
      ["onarrival queue shape smarthost --suspend --for 2h", "not at all for a while"],
      ["onarrival queue shape smarthost --wake", "it is up again: try now"],
    ]),
  )
    .option("--connections <count>", "attempts at a time, or default")
    .option("--rate <rate>", "messages in so long, such as 100/1h, or none")
    .option("--suspend", "try nothing there until it is resumed")
    .option("--for <time>", "with --suspend: only for so long")
    .option("--resume", "ends a suspension")
    .option("--wake", "ends the waiting for a destination that was down")
    .option("--json", "one JSON object a line")
    .action(async (name: string | undefined, flags) =>
      done(await (await import("./queue-shape.ts")).shapeQueue(name, flags, context)),
    );
}

const changes = [
  {
    verb: "retry",
    description: "try messages now, whatever their schedule says; what is held stays held",
    samples: [["onarrival queue retry --domain example.org", "it is up again"]],
  },
  {
    verb: "hold",
    description: "try messages no more until they are released",
    samples: [["onarrival queue hold --from @example.com --reason 'looks like spam'", "to have a look first"]],
  },
  { verb: "release", description: "let messages go that were held", samples: [] },
  {
    verb: "bounce",
    description: "give messages up now and tell their senders",
    samples: [["onarrival queue bounce --domain example.org --older 1d --dry-run", "see what would go"]],
  },
  { verb: "remove", description: "take messages out and tell nobody; the log has their envelopes", samples: [] },
  {
    verb: "requeue",
    description: "resolve aliases and routes anew, after they were changed",
    samples: [["onarrival queue requeue --recipient ann@example.test", "the alias is right now"]],
  },
] as const;

function withFilter(command: Command): Command {
  return command
    .option("--domain <domain>", "only with a recipient there; *.example.org is all below")
    .option("--recipient <address>", "only with this recipient")
    .option("--from <address>", "only from this sender; <> is the null one, @example.org a domain")
    .option("--destination <name>", "only what goes there, as onarrival queue shape names it")
    .option("--older <time>", "only what was received longer ago, such as 2h")
    .option("--newer <time>", "only what was received since then")
    .option("--state <state>", "only new, deferred, held or running");
}
