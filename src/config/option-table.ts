/**
 * THE table of options: name, kind, bounds, default and sentence of each. The validator (validate.ts), the environment's names (environment.ts),
 * the reference page and the editor's JSON schema (reference.ts) are made from it. A new option is a line here, a field in `Config` and a line
 * in `configOf` (schema.ts); the compiler asks for all three.
 */
import { hostname as machineName } from "node:os";
import { onFaults, phases, priorityDefault, priorityMax } from "../events/binding.ts";
import { eventNames } from "../events/event-table.ts";
import { normalizeDomain } from "../mail/mailbox.ts";
import { choice, choices, count, duration, flag, ipAddress, path, rate, size, table, text } from "../platform/value.ts";
import { behindRelayControl } from "../sinks/default-priority.ts";
import { deliveryOptions } from "./delivery-options.ts";
import { listenerOptions } from "./listener-options.ts";
import { option, optional, pathOption, required, section, sectionList } from "./option.ts";
import { scriptOptions } from "./script-options.ts";
import { domains, hostName, nameServers, nextHop } from "./value-net.ts";

const kib = 1024;
const mib = 1024 * kib;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const port = count({ min: 0, max: 65_535 });

export const configTable = section("", {
  data: pathOption(
    option(path("a folder"), "./data", "Folder of all that the server keeps: spool, mailboxes, control socket."),
  ),
  hostname: option(
    hostName,
    ownHostName,
    "Name the server calls itself: in its greeting, in trace fields, in failure reports.",
    "the machine's name",
  ),

  listeners: listenerOptions,

  domains: section("Whose mail is taken.", {
    local: option(domains, ["example.test"], "Domains whose mailboxes are here."),
    relay: option(domains, [], "Domains whose mail is taken and passed on."),
    aliases: pathOption(
      optional(
        path("a file"),
        "File of aliases, lists and catch-alls of the local domains; docs/addresses.md tells how it is written.",
      ),
    ),
    mailboxes: pathOption(
      optional(
        path("a file"),
        "File that names the mailboxes of the local domains, one a line; others are refused. Without it every local part is accepted.",
      ),
    ),
    plus: option(
      text("one character, or nothing", /^[+\-_=.#]?$/),
      "+",
      "What ends the mailbox's name in a local part: `ann+news` is for `ann`. Empty: nothing does.",
    ),
  }),

  routes: sectionList(
    "Where mail of some recipients goes, in the place of what is said elsewhere. The first that matches holds.",
    { nameKey: null, fallback: [] },
    {
      match: required(
        text("a mailbox pattern or a domain"),
        "Which recipients: `partner.example`, `*.partner.example`, `sales@partner.example`, `*`.",
      ),
      to: required(
        nextHop,
        "The next hop: `mx`, `smarthost`, `smtp://HOST:PORT,…`, `lmtp://…`, `https://…`, `maildir`, `drop`, `hold`.",
      ),
    },
  ),

  delivery: deliveryOptions,

  dns: section("Name servers.", {
    servers: option(
      nameServers,
      [],
      "Name servers to ask; none is those of the machine. Those whose word on DNSSEC is believed go before the others.",
    ),
    trusted: option(
      nameServers,
      [],
      "Of the servers, those whose word on DNSSEC is believed besides those on this machine.",
    ),
    timeout: option(duration({ minMs: 100, maxMs: minute }), 5 * second, "Time for a look-up."),
  }),

  pickup: section("A folder: a message that is put into it is sent; docs/folders.md tells the rules.", {
    enabled: option(flag, true, "Looks into the folder."),
    folder: pathOption(optional(path("a folder"), "The folder.", "`pickup` in the data folder")),
  }),

  drop: section("Mail that is delivered to files, one a message.", {
    folder: pathOption(optional(path("a folder"), "The folder.", "`drop` in the data folder")),
    retention: option(
      duration({ minMs: 0, maxMs: 3650 * day }),
      0,
      "Files older than this are removed; 0s keeps them.",
    ),
    size_max: option(
      size({ min: 0, max: 1024 * 1024 * mib }),
      0,
      "Octets in the folder, above which mail for it is deferred; 0 is no limit.",
    ),
  }),

  badmail: section("Mail that was quarantined, and what could not be used.", {
    retention: option(
      duration({ minMs: 0, maxMs: 3650 * day }),
      30 * day,
      "Messages older than this are removed; 0s keeps them.",
    ),
    size_max: option(
      size({ min: 0, max: 1024 * 1024 * mib }),
      1024 * mib,
      "Octets in the folder; the oldest go when it is more. 0 is no limit.",
    ),
  }),

  auth: section("Users who log in to submission listeners; `onarrival user add` makes them.", {
    users: pathOption(
      optional(path("a file"), "File of users and their password hashes.", "`users.json` in the data folder"),
    ),
    sender_must_match: option(
      flag,
      true,
      "A user may send only from his own addresses: his name, and those that `onarrival user add --address` gave him.",
    ),
    rate: optional(rate, 'Messages a user may send in how long, such as "100/1h"; counted by recipient.'),
  }),

  dkim: section("Signatures on mail that leaves; `onarrival dkim add` makes keys.", {
    folder: pathOption(optional(path("a folder"), "Keys: `DOMAIN/SELECTOR.pem`.", "`dkim` in the data folder")),
    sign: option(flag, true, "Signs the mail of our users whose From domain has a key."),
  }),

  spool: section("Where accepted mail is kept until it is delivered.", {
    backend: option(
      choice("back end", ["sqlite", "memory"]),
      "sqlite",
      "`memory` forgets everything when the server stops: for tests only.",
    ),
    disk_reserve: option(
      size({ min: 0, max: 1024 * 1024 * mib }),
      64 * mib,
      "Free space on the disk of the data folder that new mail may not use; below it clients hear 452.",
    ),
    inodes_reserve: option(count({ min: 0, max: 1_000_000_000 }), 1_000, "The same in inodes."),
  }),

  sinks: sectionList(
    "A native sink: a trusted module that runs inside the server; docs/native-sinks.md tells how to write one. Written once for each binding.",
    { nameKey: null, fallback: [] },
    {
      use: optional(text("a name"), "One of the sinks that come with OnArrival; docs/sinks.md has them."),
      module: pathOption(
        optional(
          text('a path that begins with "./", "../" or "/"', /^\.{0,2}\/[^\x00-\x1f\x7f]+$/),
          "Path of a module of your own.",
        ),
      ),
      export: optional(
        text("a name"),
        "Export of the module: a sink, or a function that makes one from `properties`.",
        "`default`, or the only export",
      ),
      event: optional(choice("event", eventNames), "Event it is bound to.", "with `use`, those the sink is made for"),
      events: optional(choices("event", eventNames), "Events it is bound to, in the place of `event`."),
      name: optional(text("a name"), "Name in listings and logs.", "the sink's own"),
      priority: optional(
        count({ min: 0, max: priorityMax }),
        "0 is asked first.",
        `\`${priorityDefault}\`; of \`greylist\` \`${behindRelayControl}\``,
      ),
      rule: optional(
        text("a rule", /^[^\x00-\x1f\x7f]*$/),
        "Which events it is asked about; the language is in docs/rules.md.",
      ),
      enabled: option(flag, true, "`false` keeps the binding without asking the sink."),
      phase: option(
        choice("phase", phases),
        "session",
        "For onArrival: `session` decides before the client hears a reply, `queue` behind the 250, for slow work.",
      ),
      on_fault: option(choice("way", onFaults), "defer", "What a fault of the sink means for the message."),
      timeout: option(
        duration({ minMs: 10, maxMs: 10 * minute }),
        minute,
        "Time for an answer of the sink; then its `on_fault` decides.",
      ),
      max_firings: option(
        count({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        0,
        "Not asked any more after so many firings since the server started; 0 is never.",
      ),
      properties: option(table, {}, "Key-values handed to the sink."),
    },
  ),

  scripts: scriptOptions,

  admin: section("The port for health checks and metrics.", {
    address: option(ipAddress, "127.0.0.1", "Address to listen on."),
    port: option(port, 8025, "TCP port; 0 takes any free one."),
    hosts: option(domains, [], "Host names besides the server's own that a request may name; others are refused."),
  }),

  log: section("The log: JSON lines on standard output.", {
    level: option(
      choice("level", ["debug", "info", "warn", "error"]),
      "info",
      "Lines below this level are not written.",
    ),
  }),
});

/** A name without a dot is no domain a peer could check (RFC 5321 §2.3.5); it is completed as resolvers do. */
function ownHostName(): string {
  const domain = normalizeDomain(machineName());
  if (domain === undefined || domain === "localhost") return "localhost";
  return domain.includes(".") ? domain : `${domain}.localdomain`;
}
