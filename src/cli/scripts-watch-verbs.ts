/** The verbs of `onarrival scripts` that look at scripts at work: figures and log. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addScriptWatchVerbs(scripts: Command, { settings, addVerb, context, done }: VerbParts): void {
  settings(addVerb(scripts, "top", "runs, faults, time and memory of each version since the server started"))
    .option("--watch", "again every two seconds")
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await import("./scripts-top.ts")).showTop(flags, context)));
  settings(
    addVerb(scripts, "log <name>", "the last lines a script logged, and how its runs failed", [
      ["onarrival scripts log tag --follow --level warn", "warnings and faults as they come"],
    ]),
  )
    .option("--follow", "and those to come")
    .option("--level <level>", "debug, info, warn or error, and what is worse")
    .option("--lines <number>", "so many of the last (default: 20, at most 1000)")
    .option("--json", "one JSON object a line")
    .action(async (name: string, flags) =>
      done(await (await import("./scripts-log.ts")).showScriptLog(name, flags, context)),
    );
}
