/**
 * The command line: which verbs there are, their flags and their help. Parses and hands over; each verb is a file of its own that is loaded
 * only when it is called, so that the first character of output does not wait for all of them.
 */
import { Command, CommanderError, Option } from "commander";
import { version } from "../version.ts";
import { addBadMailVerbs } from "./badmail-verbs.ts";
import { addBindingVerbs } from "./bindings-verbs.ts";
import { addDkimVerbs } from "./dkim-verbs.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { reportFailure } from "./failure.ts";
import { addQueueVerbs } from "./queue-verbs.ts";
import { addScriptVerbs } from "./scripts-verbs.ts";
import { addScriptWatchVerbs } from "./scripts-watch-verbs.ts";
import { type ColorMode, type CommandContext, createTerminal } from "./terminal.ts";
import { addUserVerbs } from "./user-verbs.ts";

/** Runs one command line. Gives the exit status; never throws. */
export async function main(argv: readonly string[]): Promise<ExitStatus> {
  const terminal = createTerminal(colorOf(argv));
  const context: CommandContext = { terminal, env: process.env, cwd: process.cwd() };
  let status: ExitStatus = exitStatus.done;
  const program = createProgram(context, (result) => {
    status = result;
  });
  // The server answers signals itself; every other command ends at once, and its sandbox ends with it.
  if (argv.find((word) => !word.startsWith("-")) !== "serve")
    process.once("SIGINT", () => process.exit(exitStatus.interrupted));
  try {
    // Its options are not of our kind.
    if (argv[0] === "sendmail" && argv[1] !== "--help")
      return await (await import("./sendmail.ts")).sendmail(argv.slice(1), context);
    // Who says nothing asks what there is to say.
    await program.parseAsync(argv.length === 0 ? ["--help"] : [...argv], { from: "user" });
    return status;
  } catch (error) {
    // commander has said what is wrong; help and the version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.done : exitStatus.usage;
    return reportFailure(error, terminal);
  }
}

type Done = (status: ExitStatus) => void;

/** Every verb with its flags and its help. `done` is told how the verb that ran has ended. */
export function createProgram(context: CommandContext, done: Done): Command {
  const { out, err } = context.terminal;
  const program = new Command("onarrival")
    .description("A mail transfer agent whose behaviour is written in TypeScript.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help, or that of a command")
    .addOption(
      new Option("--color <when>", "colours in the output").choices(["auto", "always", "never"]).default("auto"),
    )
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureHelp({
      styleTitle: (text) => out.paint("bold", text),
      styleCommandText: (text) => out.paint("cyan", text),
      sortSubcommands: false,
    })
    .configureOutput({
      writeOut: (text) => out.write(text),
      writeErr: (text) => err.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, `${err.paint("red", "onarrival:")} `)),
    });
  program.addHelpText(
    "before",
    examples(
      [
        ["onarrival init mysite && cd mysite", "make a working site"],
        ["onarrival test scripts/tag-external.ts samples/hello.eml", "see what a script would do"],
        ["onarrival serve", "run the server; save a script and the next message runs it"],
        ["onarrival scripts list", "which version of each script runs"],
      ],
      out.paint,
    ),
  );
  program.addHelpText(
    "after",
    "\nExit status: 0 done, 1 what was checked did not hold, 2 wrong usage or configuration,\n3 no running server, 130 interrupted. More in docs/cli.md; the options in docs/configuration.md.",
  );

  program.commandsGroup("A site:");
  const settings = (command: Command) =>
    command
      .option("--config <file>", "the configuration (default: onarrival.toml)")
      .option("--set <key=value>", "any option of the configuration; repeatable", collect)
      .option("--data <dir>", "the data folder");
  const addVerb = (parent: Command, usage: string, description: string, samples: readonly Sample[] = []) => {
    const command = parent.command(usage).description(description);
    if (samples.length > 0) command.addHelpText("before", examples(samples, out.paint));
    return command;
  };

  settings(
    addVerb(program, "serve", "run the server; SIGTERM and Ctrl-C stop it, SIGHUP reloads", [
      ["onarrival serve", "with onarrival.toml of this folder, or the default site"],
      ["onarrival serve --smtp-port 0 --set log.level=debug", "any free port, more log"],
    ]),
  )
    .option("--scripts <dir>", "the scripts folder")
    .option("--smtp-port <port>", "port of the first listener")
    .option("--admin-port <port>", "port for health checks and metrics")
    .option("--log-level <level>", "debug, info, warn or error")
    .action(async (flags) => done(await (await import("./serve.ts")).serve(flags, context)));

  addVerb(program, "init [dir]", "make a working site in a folder; overwrites nothing", [
    ["onarrival init mysite", "a configuration, two scripts, a message to test with"],
    ["onarrival init --example greylist", "a script of docs/cookbook.md with its tests, into the site of this folder"],
  ])
    .option(
      "--example <name>",
      "copy a script that comes along; repeatable; a site that is there stays as it is",
      collect,
    )
    .action(async (folder: string | undefined, flags) =>
      done(await (await import("./init.ts")).init(folder ?? ".", context, flags)),
    );

  addVerb(program, "types [dir]", "refresh what an editor knows of the script API, and say what changed", [
    ["onarrival types", "after an upgrade, in the site's folder"],
  ])
    .option("--json", "one JSON object a line")
    .action(async (folder: string | undefined, flags) =>
      done(await (await import("./declarations.ts")).refreshDeclarations(folder ?? ".", flags, context)),
    );

  const config = program.command("config").description("the configuration");
  settings(addVerb(config, "check", "every error at once, with line and column"))
    .option("--json", "as one JSON document")
    .action(async (flags) => done(await (await import("./config.ts")).checkConfig(flags, context)));
  settings(
    addVerb(config, "show", "all options with their values", [
      ["onarrival config show --origin", "and where each value is from"],
    ]),
  )
    .option("--origin", "say behind each value whether flag, environment, file or default won")
    .option("--json", "as one JSON document")
    .action(async (flags) => done((await import("./config.ts")).showConfig(flags, context)));
  addVerb(config, "schema", "the JSON schema of onarrival.toml, for editors").action(async () =>
    done((await import("./config.ts")).showSchema(context)),
  );

  program.commandsGroup("Scripts:");
  settings(
    addVerb(program, "test [script-or-mail...]", "run a script on messages and say what it would do; nothing is sent", [
      ["onarrival test scripts/tag-external.ts mail.eml", "one message"],
      ["onarrival test scripts/tag-external.ts mail/ --json", "a folder; one JSON object a line"],
      ["onarrival test scripts/tag-external.ts - < mail.eml", "from standard input"],
      [
        "onarrival test scripts/x.ts x.eml --expect x.expected.json --update",
        "write what is expected; without --update, compare",
      ],
      ["onarrival test scripts/x.ts x.eml --watch", "again with every save"],
      ["onarrival test --pipeline mail.eml", "all sinks and scripts of the configuration, in their order"],
      ["onarrival test scripts/tag-external.ts --all", "the tests beside it; without a script, all there are"],
    ]),
  )
    .usage("SCRIPT MAIL... [options]")
    .option("--scripts <dir>", "the scripts folder")
    .option("--from <address>", "the reverse-path; <> is the null one (default: from the header)")
    .option("--to <address>", "a recipient; repeatable (default: from the header)", collect)
    .option("--ip <address>", "address of the client")
    .option("--helo <name>", "what the client calls itself")
    .option("--user <name>", "the user who logged in")
    .option("--listener <name>", "the listener it comes in by")
    .option("--event <name>", "the event (default: onArrival, or what the script handles)")
    .option("--json", "one JSON object a line for each message")
    .option("--watch", "test again whenever the script or a message is saved")
    .option("--expect <file>", "compare with this expectation")
    .option("--update", "write the expectation instead of comparing")
    .option("--output <dir>", "write each message there as it would be spooled")
    .option("--pipeline", "ask the whole onArrival list instead of one script; all arguments are messages")
    .option("--all", "the tests beside the scripts that are named, or beside all; docs/testing.md")
    .option("--answers <file>", "what the script hears from HTTP, DNS, its store and secrets")
    .option("--record <dir>", "write a record of each run there, for onarrival replay")
    .action(async (args: string[], flags) =>
      done(
        flags.all
          ? await (await import("./test-all.ts")).testAll(args, flags, context)
          : await (await import("./test.ts")).test(args, flags, context),
      ),
    );
  settings(
    addVerb(program, "replay <record...>", "run recorded runs again, and say what is different", [
      ["onarrival replay data/records", "with the versions they were recorded with"],
      ["onarrival replay data/records/x.json --script scripts/tag.ts", "with another version"],
    ]),
  )
    .option("--script <file>", "another version of the script that was recorded")
    .option("--scripts <dir>", "the scripts folder")
    .option("--json", "one JSON object a line for each record")
    .action(async (files: string[], flags) => done(await (await import("./replay.ts")).replay(files, flags, context)));

  const client = (command: Command) =>
    command
      .option("--ip <address>", "address of the client")
      .option("--helo <name>", "what the client calls itself")
      .option("--user <name>", "the user who logged in")
      .option("--listener <name>", "the listener it comes in by")
      .option("--tls", "as if the session were encrypted");
  client(
    settings(
      addVerb(program, "explain <mail...>", "why each binding is asked about a message, or is not", [
        ["onarrival explain mail.eml", "with the bindings of the running server"],
        ["onarrival explain mail.eml --to sales@example.test --offline", "with what the files say"],
      ]),
    ),
  )
    .option("--scripts <dir>", "the scripts folder")
    .option("--from <address>", "the reverse-path; <> is the null one (default: from the header)")
    .option("--to <address>", "a recipient; repeatable (default: from the header)", collect)
    .option("--offline", "read the files instead of asking the server")
    .option("--json", "one JSON object a line for each message")
    .action(async (args: string[], flags) => done(await (await import("./explain.ts")).explain(args, flags, context)));
  client(
    settings(
      addVerb(
        program,
        "session",
        "an SMTP session on this terminal, every sink's decision in its place; nothing is queued",
        [
          ["onarrival session --ip 192.0.2.7 --helo client.example.com", "you are the client"],
          ["onarrival session < dialogue.txt", "what a file says, line by line"],
        ],
      ),
    ),
  )
    .option("--scripts <dir>", "the scripts folder")
    .option("--json", "one JSON object a line for each line and decision")
    .action(async (flags) => done(await (await import("./session.ts")).session(flags, context)));

  const parts = { settings, addVerb, context, done };
  const scripts = program.command("scripts").description("scripts and their versions");
  addScriptVerbs(scripts, parts);
  addScriptWatchVerbs(scripts, parts);

  program.commandsGroup("A running server:");
  settings(
    addVerb(program, "trace", "follow sessions as they happen: lines and decisions, secrets masked", [
      ["onarrival trace --client 192.0.2.0/24", "one client's"],
      ["onarrival trace --to '*@example.test' --json", "those with such a recipient, one JSON object a line"],
    ]),
  )
    .option("--client <network>", "only clients from there; repeatable", collect)
    .option("--listener <name>", "only this listener, or next hop; repeatable", collect)
    .option("--helo <name>", "only clients that call themselves so; repeatable", collect)
    .option("--from <address>", "only with such a sender; repeatable", collect)
    .option("--to <address>", "only with such a recipient; repeatable", collect)
    .option("--inbound", "only clients of ours")
    .option("--outbound", "only sessions of ours with next hops")
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await import("./trace.ts")).trace(flags, context)));
  addBindingVerbs(program.command("bindings").description("what is asked for which event, in order"), parts);
  addQueueVerbs(program.command("queue").description("messages in custody"), parts);
  addBadMailVerbs(program.command("badmail").description("messages kept apart, and why"), parts);
  settings(
    addVerb(program, "route <address...>", "where mail for an address would go, and why; nothing is sent", [
      ["onarrival route sales@example.test", "through aliases and routes to hosts and their addresses"],
      ["onarrival route sales@example.test --offline", "by what the files say, without a server or DNS"],
    ]),
  )
    .option("--from <address>", "as if it came from there; <> is the null reverse-path")
    .option("--offline", "read the files instead of asking the server")
    .option("--json", "one JSON object a line")
    .action(async (addresses: string[], flags) =>
      done(await (await import("./route.ts")).route(addresses, flags, context)),
    );

  program.commandsGroup("Users and keys:");
  addUserVerbs(program.command("user").description("users who may log in to submission listeners"), parts);
  addDkimVerbs(program.command("dkim").description("keys for DKIM signatures"), parts);

  program.commandsGroup("Sending:");
  settings(
    addVerb(program, "submit [file]", "send a message from a file or standard input; prints its id", [
      ["onarrival submit mail.eml", "to whom its header says"],
      ["onarrival submit --from ann@example.test --to bob@example.org < mail.eml", "to somebody else"],
    ]),
  )
    .option("--from <address>", "the reverse-path; <> is the null one (default: from the header)")
    .option("--to <address>", "a recipient; repeatable (default: those of the header)", collect)
    .option("-t, --header-recipients", "those of the header besides --to; Bcc is taken out")
    .option("--json", "as one JSON document")
    .action(async (file: string | undefined, flags) =>
      done(await (await import("./submit.ts")).submit(file, flags, context)),
    );
  addVerb(program, "sendmail [args...]", "stand in for /usr/sbin/sendmail, with its options and exit status", [
    ["echo hello | onarrival sendmail -f ann@example.test bob@example.org", "one message"],
    ["onarrival sendmail -bp", "the queue, as mailq prints it"],
  ])
    .addHelpText(
      "after",
      "\nThe options are those of sendmail(8): -t -i -f -F -N -R -V -bm -bs -bp -bi -q -C; docs/cli.md has each.",
    )
    .action(async (args: string[]) => done(await (await import("./sendmail.ts")).sendmail(args, context)));

  program.commandsGroup("Help:").helpCommand("help [command]", "print the help of a command");
  return program;
}

type Sample = readonly [command: string, what: string];

function examples(samples: readonly Sample[], paint: (style: "bold" | "cyan" | "dim", text: string) => string): string {
  const width = Math.max(...samples.map(([command]) => command.length));
  return `${paint("bold", "Examples:")}\n${samples.map(([command, what]) => `  ${paint("cyan", command)}${" ".repeat(width - command.length)}  ${paint("dim", what)}\n`).join("")}`;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Read before anything else is: errors of the command line are coloured too. */
function colorOf(argv: readonly string[]): ColorMode {
  const at = argv.findIndex((word) => word === "--color" || word.startsWith("--color="));
  const value = at === -1 ? undefined : argv[at]!.includes("=") ? argv[at]!.slice("--color=".length) : argv[at + 1];
  return value === "always" || value === "never" ? value : "auto";
}
