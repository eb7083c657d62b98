/** The verbs of `onarrival dkim`, their flags and their help. What they do is loaded when they are called; none of them needs a running server. */
import type { Command } from "commander";
import { Option } from "commander";
import type { VerbParts } from "./bindings-verbs.ts";

export function addDkimVerbs(dkim: Command, { settings, addVerb, context, done }: VerbParts): void {
  settings(
    addVerb(dkim, "add <domain>", "make a key and print the DNS record to publish", [
      ["onarrival dkim add example.org", "RSA, with this month for a selector"],
      ["onarrival dkim add example.org --algorithm both", "RSA and Ed25519: two signatures"],
    ]),
  )
    .option("--selector <name>", "its name in DNS (default: year and month)")
    .addOption(new Option("--algorithm <name>", "kind of key").choices(["rsa", "ed25519", "both"]).default("rsa"))
    .option("--bits <number>", "length of an RSA key, 1024 to 4096", "2048")
    .option("--json", "one JSON object a line")
    .action(async (domain: string, flags) => done(await (await verbs()).addKeys(domain, flags, context)));
  settings(addVerb(dkim, "list", "all keys there are"))
    .option("--json", "one JSON object a line")
    .action(async (flags) => done(await (await verbs()).listAllKeys(flags, context)));
  settings(
    addVerb(dkim, "show <domain>", "the DNS records of a domain's keys", [
      ["onarrival dkim show example.org", "in one line, and as a zone file has it"],
    ]),
  )
    .option("--json", "one JSON object a line")
    .action(async (domain: string, flags) => done(await (await verbs()).showKeys(domain, flags, context)));
  settings(
    addVerb(dkim, "check <domain>", "ask DNS whether the records are there and right; exit status 1 where one is not"),
  )
    .option("--json", "one JSON object a line")
    .action(async (domain: string, flags) => done(await (await verbs()).checkKeys(domain, flags, context)));
  settings(addVerb(dkim, "remove <domain> <selector>", "remove a key; there is no way to get it back"))
    .option("-y, --yes", "do not ask")
    .action(async (domain: string, selector: string, flags) =>
      done(await (await verbs()).removeOneKey({ domain, selector }, flags, context)),
    );
}

const verbs = () => import("./dkim.ts");
