/** The verbs of `onarrival scripts`, their flags and their help. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addScriptVerbs(scripts: Command, { settings, addVerb, context, done }: VerbParts): void {
  settings(addVerb(scripts, "list", "what the server runs, and why an edit does not"))
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await import("./scripts.ts")).listScriptStates(flags, context)));
  settings(addVerb(scripts, "show <name>", "one script: version, grants, what waits, how it fares"))
    .option("--json", "as one JSON document")
    .action(async (name: string, flags) =>
      done(await (await import("./scripts-show.ts")).showScript(name, flags, context)),
    );
  settings(
    addVerb(scripts, "check [file...]", "compile and load scripts as the server would; needs no server", [
      ["onarrival scripts check", "all of the scripts folder"],
    ]),
  )
    .option("--scripts <dir>", "the scripts folder")
    .option("--json", "one JSON object a line")
    .action(async (files: string[], flags) =>
      done(await (await import("./scripts-check.ts")).checkScripts(files, flags, context)),
    );
  settings(addVerb(scripts, "history <name>", "which version was live when, and by whom; needs no server"))
    .option("--json", "one JSON object a line")
    .action(async (name: string, flags) =>
      done(await (await import("./scripts-versions.ts")).showHistory(name, flags, context)),
    );
  settings(
    addVerb(scripts, "diff <name> [version...]", "what differs between versions; needs no server", [
      ["onarrival scripts diff tag", "what runs against the file; or, where that runs, the last change"],
      ["onarrival scripts diff tag a6acbaa", "that version against what runs"],
      ["onarrival scripts diff tag a6acbaa file", "that version against the file"],
    ]),
  )
    .option("--json", "as one JSON document")
    .action(async (name: string, versions: string[], flags) =>
      done(await (await import("./scripts-versions.ts")).diffScript(name, versions, flags, context)),
    );

  settings(
    addVerb(scripts, "records [name]", "the runs the server has recorded because they faulted; needs no server", [
      ["onarrival scripts records tag", "those of one script"],
    ]),
  )
    .option("--json", "one JSON object a line")
    .action(async (name: string | undefined, flags) =>
      done(await (await import("./scripts-records.ts")).showRecords(name, flags, context)),
    );

  const load = () => import("./scripts-change.ts");
  const withAuthor = (command: Command) =>
    settings(command)
      .option("--author <name>", "who is written down as its author (default: who calls)")
      .option("--json", "as one JSON document");
  withAuthor(
    addVerb(scripts, "rollback <name> [version]", "make an earlier version live now, whatever the file says", [
      ["onarrival scripts rollback tag", "the one before"],
      ["onarrival scripts rollback tag a6acbaa", "one of onarrival scripts history"],
    ]),
  ).action(async (name: string, version: string | undefined, flags) =>
    done(await (await load()).rollbackScript(name, version, flags, context)),
  );
  withAuthor(addVerb(scripts, "unpin <name>", "end a rollback: the file says again what runs")).action(
    async (name: string, flags) => done(await (await load()).unpinScript(name, flags, context)),
  );
  withAuthor(addVerb(scripts, "approve <name>", "show what a saved version asks for, grant it, and make it live"))
    .option("--yes", "do not ask")
    .action(async (name: string, flags) => done(await (await load()).approveScript(name, flags, context)));

  settings(
    addVerb(scripts, "kv <name> <verb> [words...]", "look into the store of a script: list, get, set, delete, clear", [
      ["onarrival scripts kv greylist list 192.0.2.", "keys that begin so"],
      ["onarrival scripts kv greylist get 192.0.2.7", "a value, as JSON"],
      ["onarrival scripts kv greylist set limit 20 --ttl 1h", "for an hour"],
      ["onarrival scripts kv greylist clear", "all of it, after a question"],
    ]),
  )
    .option("--ttl <time>", "with set: how long it is kept, such as 1h (default: for ever)")
    .option("--yes", "do not ask")
    .option("--json", "one JSON object a line")
    .action(async (name: string, verb: string, words: string[], flags) =>
      done(await (await import("./scripts-store.ts")).scriptStore(name, verb, words, flags, context)),
    );
}
