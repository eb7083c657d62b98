/** The verbs of `onarrival bindings`, their flags and their help. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { ExitStatus } from "./exit-status.ts";
import type { CommandContext } from "./terminal.ts";

/** What onarrival.ts adds verbs with. */
export interface VerbParts {
  /** Gives a verb the flags of the configuration. */
  readonly settings: (command: Command) => Command;
  readonly addVerb: (
    parent: Command,
    usage: string,
    description: string,
    samples?: readonly (readonly [command: string, what: string])[],
  ) => Command;
  readonly context: CommandContext;
  readonly done: (status: ExitStatus) => void;
}

export function addBindingVerbs(bindings: Command, { settings, addVerb, context, done }: VerbParts): void {
  settings(
    addVerb(bindings, "list", "every binding in the order it is asked, the server's own in their place", [
      ["onarrival bindings list --event onRcptTo", "one event"],
      ["onarrival bindings list --tree", "as a tree, with what each event is"],
    ]),
  )
    .option("--event <name>", "only this event")
    .option("--tree", "as a tree, by event")
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await import("./bindings.ts")).listBindings(flags, context)));

  withFields(
    settings(
      addVerb(bindings, "add <event>", "bind a native sink to an event of the running server", [
        ["onarrival bindings add onRcptTo --use greylist", "a sink that comes with it"],
        ["onarrival bindings add onArrival --module sinks/mine.ts --priority 100", "one of your own"],
      ]),
    ),
  )
    .option("--use <name>", "one of the sinks that come with OnArrival")
    .option("--module <file>", "a module of your own")
    .option("--export <name>", "export of the module (default: default, or the only one)")
    .option("--name <name>", "name in listings and logs (default: the sink's own)")
    .option("--disabled", "bind it without asking it yet")
    .option("--force", "also where the sink cannot be loaded")
    .option("--json", "as one JSON document")
    .action(async (event: string, flags) => done(await (await changes()).addBinding(event, flags, context)));

  withFields(
    settings(
      addVerb(bindings, "set <id>", "set fields of a binding, over what config or script say", [
        ['onarrival bindings set greylist --rule "RCPT TO = *@example.org"', "an id may be shortened"],
        ["onarrival bindings set scripts/tag.ts --priority 10", "wins over the script's exports"],
        ["onarrival bindings set scripts/tag.ts --reset priority", "as the script says again"],
      ]),
    ),
  )
    .option("--no-rule", "ask it about everything")
    .option("--reset <field>", "what config or script say again; repeatable", collect)
    .option("--force", "also where the sink cannot be made with these properties")
    .option("--json", "as one JSON document")
    .action(async (id: string, flags) => done(await (await changes()).setBinding(id, flags, context)));

  for (const [verb, enabled, description] of [
    ["enable", true, "ask these bindings again"],
    ["disable", false, "keep these bindings without asking them"],
  ] as const) {
    settings(addVerb(bindings, `${verb} <id...>`, description))
      .option("--json", "as one JSON document")
      .action(async (ids: string[], flags) =>
        done(await (await changes()).enableBindings(ids, enabled, flags, context)),
      );
  }

  settings(addVerb(bindings, "remove <id...>", "take away bindings that were added"))
    .option("--override", "take away what is set over them, and leave them as config or script say")
    .option("--json", "as one JSON document")
    .action(async (ids: string[], flags) => done(await (await changes()).removeBindings(ids, flags, context)));

  settings(addVerb(bindings, "export [file]", "all that was added and set, as one JSON document")).action(
    async (file: string | undefined, flags) => done(await (await documents()).exportBindings(file, flags, context)),
  );
  settings(
    addVerb(bindings, "import <file>", "take up an exported document; - is standard input", [
      ["onarrival bindings import bindings.json --dry-run", "say what would change"],
    ]),
  )
    .option("--replace", "take away what is not in it")
    .option("--dry-run", "say what would change, and change nothing")
    .option("--force", "also where a sink cannot be loaded")
    .option("--json", "as one JSON document")
    .action(async (file: string, flags) => done(await (await documents()).importBindings(file, flags, context)));
  settings(addVerb(bindings, "undo", "go back to what was before the last change"))
    .option("--to <revision>", "to that revision")
    .option("--json", "as one JSON document")
    .action(async (flags) => done(await (await documents()).undoBindings(flags, context)));
  settings(addVerb(bindings, "history", "what was changed when; the last fifty changes"))
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await documents()).showHistory(flags, context)));
}

const changes = () => import("./bindings-change.ts");
const documents = () => import("./bindings-document.ts");

function withFields(command: Command): Command {
  return command
    .option("--priority <number>", "0 is asked first")
    .option("--rule <rule>", "what it is asked about; the language is in docs/rules.md")
    .option("--phase <phase>", "of onArrival: session (before the reply) or queue (behind it)")
    .option("--on-fault <way>", "defer, proceed, quarantine or refuse")
    .option("--timeout <duration>", "time for an answer, such as 5s")
    .option("--max-firings <count>", "disabled after so many; 0 is never")
    .option("--property <key=value>", "for the sink, as JSON or text; null takes a key away; repeatable", collect);
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
