/** The verbs of `onarrival user`, their flags and their help. What they do is loaded when they are called. */
import type { Command } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addUserVerbs(user: Command, { settings, addVerb, context, done }: VerbParts): void {
  const verbs = () => import("./user.ts");
  const passwordFlag = (command: Command) =>
    command.option("--password-stdin", "read the password from standard input instead of asking");

  passwordFlag(
    settings(
      addVerb(user, "add <name>", "let somebody log in; asks for a password", [
        ["onarrival user add ann@example.org", "may send from that address"],
        ["onarrival user add ann --address ann@example.org --address '*@lists.example.org'", "from these"],
      ]),
    ),
  )
    .option("--address <address>", "an address to send from, or *@domain; repeatable", collect)
    .option("--rate <rate>", "recipients in a time, such as 100/1h (default: auth.rate)")
    .action(async (name: string, flags) => done(await (await verbs()).addUser(name, flags, context)));
  settings(
    addVerb(user, "set <name>", "give a user other addresses, or another rate", [
      ["onarrival user set ann --address ann@example.org --address '*@lists.example.org'", "these and no others"],
      ["onarrival user set ann --rate none", "auth.rate again"],
    ]),
  )
    .option("--address <address>", "in the place of all he had: an address, or *@domain; repeatable; or none", collect)
    .option("--rate <rate>", "recipients in a time, such as 100/1h, or none: as auth.rate says")
    .action(async (name: string, flags) => done(await (await verbs()).setUser(name, flags, context)));
  passwordFlag(settings(addVerb(user, "passwd <name>", "give a user another password"))).action(
    async (name: string, flags) => done(await (await verbs()).setUserPassword(name, flags, context)),
  );
  settings(addVerb(user, "list", "who may log in"))
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await verbs()).listUsers(flags, context)));
  settings(addVerb(user, "disable <name>", "let a user log in no more, and keep him")).action(
    async (name: string, flags) => done(await (await verbs()).enableUser(name, false, flags, context)),
  );
  settings(addVerb(user, "enable <name>", "let a user log in again")).action(async (name: string, flags) =>
    done(await (await verbs()).enableUser(name, true, flags, context)),
  );
  settings(addVerb(user, "remove <name>", "take a user out of the file")).action(async (name: string, flags) =>
    done(await (await verbs()).removeUser(name, flags, context)),
  );
  passwordFlag(
    settings(addVerb(user, "check <name>", "whether a password is the user's; exit status 1 where not")),
  ).action(async (name: string, flags) => done(await (await verbs()).checkUser(name, flags, context)));
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
