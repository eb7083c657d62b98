/**
 * THE table of options: name, kind, bounds, default and sentence of each. The validator (validate.ts), the environment's names (environment.ts),
 * the reference page and the editor's JSON schema (reference.ts) are made from it. A new option is a line here, a field in `Config` and a line
 * in `configOf` (schema.ts); the compiler asks for all three.
 */
import { availableParallelism, hostname as machineName } from "node:os";
import { onFaults, priorityDefault, priorityMax } from "../events/binding.ts";
import { eventNames } from "../events/event-table.ts";
import { normalizeDomain } from "../mail/mailbox.ts";
import { choice, choices, count, duration, flag, ipAddress, path, size, table, text } from "../platform/value.ts";
import { networkList as networks } from "../sinks/property-kind.ts";
import { option, optional, optionalSection, pathOption, required, section, sectionList } from "./option.ts";
import { domains, hostName } from "./value-net.ts";

const kib = 1024;
const mib = 1024 * kib;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

const name = text('a name of letters, digits and "-"', /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/);
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

  listeners: sectionList(
    "A port that takes mail. Written once for each; where none is written, there is the one of the defaults.",
    { nameKey: "name", fallback: [{}] },
    {
      name: option(
        name,
        "mx",
        "Names the listener in logs, rules (`LISTENER=`) and environment names. Two listeners have two names.",
      ),
      address: option(ipAddress, "127.0.0.1", "Address to listen on; `0.0.0.0` and `::` are all of the machine's."),
      port: option(port, 2525, "TCP port; 0 takes any free one."),
      role: option(
        choice("role", ["mx", "submission", "lmtp"]),
        "mx",
        "`mx` takes mail for our domains from anybody; `submission` takes mail to anywhere from users who logged in; `lmtp` takes mail from another mail server, with a reply for each recipient.",
      ),
      engine: option(
        choice("engine", ["native", "library"]),
        "native",
        "SMTP engine of the listener: our own, or the smtp-server package; docs/listeners.md tells them apart.",
      ),
      line_ends: option(
        choice("way", ["refuse", "normalize"]),
        "refuse",
        "Mail data with a bare CR or LF: `refuse` answers 550, `normalize` makes CRLF of them.",
      ),
      binarymime: option(
        flag,
        false,
        "Offers BINARYMIME: messages whose octets are no lines. Few servers can be given one on the way out.",
      ),
      tls: optionalSection("Certificate for TLS. Without this section the listener offers none.", {
        mode: option(
          choice("mode", ["starttls", "implicit"]),
          "starttls",
          "`implicit` begins with the handshake, as on port 465.",
        ),
        cert: pathOption(required(path("a file"), "Certificate chain, PEM.")),
        key: pathOption(required(path("a file"), "Private key, PEM.")),
        ask_certificate: option(
          flag,
          false,
          "Asks clients for a certificate of theirs and shows it to sinks; none is needed.",
        ),
        more: sectionList(
          "A further certificate, for clients that ask for one of its names (SNI).",
          { nameKey: null, fallback: [] },
          {
            cert: pathOption(required(path("a file"), "Certificate chain, PEM.")),
            key: pathOption(required(path("a file"), "Private key, PEM.")),
          },
        ),
      }),
      auth: section("How users log in. AUTH is offered where a sink is bound to onAuth.", {
        mechanisms: option(
          choices("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"]),
          ["PLAIN", "LOGIN"],
          "SASL mechanisms to offer. `SCRAM-SHA-256` needs a sink that knows SCRAM credentials.",
        ),
        in_clear: option(flag, false, "Offers AUTH without TLS too; passwords then cross the network as they are."),
      }),
      trusted: section("Peers that may speak for their clients.", {
        proxy: option(
          networks,
          [],
          "Load balancers whose connections begin with a PROXY header, version 1 or 2; without one they are closed.",
        ),
        xclient: option(networks, [], "Peers that may say by XCLIENT who the client is."),
        xforward: option(networks, [], "Peers that may say by XFORWARD who the client was; for the log."),
      }),
      limits: section("What a client may use.", {
        size_max: option(size({ min: 64 * kib, max: 1024 * mib }), 25 * mib, "Largest message."),
        // RFC 5321 §4.5.3.1.8: a server takes at least 100.
        recipients_max: option(count({ min: 100, max: 10_000 }), 100, "Recipients of one message."),
        connections_max: option(count({ min: 1, max: 100_000 }), 1_000, "Connections at a time."),
        connections_per_client_max: option(
          count({ min: 1, max: 100_000 }),
          50,
          "Connections at a time from one address.",
        ),
        // RFC 5321 §4.5.3.2.7: a server waits five minutes for a command.
        idle_timeout: option(
          duration({ minMs: second, maxMs: hour }),
          5 * minute,
          "A client from which no whole command came for so long is sent away.",
        ),
        // RFC 5321 §4.5.3.2.5: three minutes for a data block.
        data_timeout: option(
          duration({ minMs: second, maxMs: hour }),
          3 * minute,
          "A client that sends no mail data for so long is sent away.",
        ),
        data_rate_min: option(
          size({ min: 0, max: 100 * mib }),
          100,
          "Octets of mail data a second, on average, that a client has to send; 0 is none.",
        ),
        handshake_timeout: option(
          duration({ minMs: second, maxMs: 10 * minute }),
          30 * second,
          "Time for a TLS handshake.",
        ),
        decision_timeout: option(
          duration({ minMs: second, maxMs: 10 * minute }),
          9 * minute,
          "Time in which a command is decided, sinks and all; then the client is told to try again.",
        ),
        errors_max: option(count({ min: 1, max: 1_000 }), 20, "Wrong commands before a client is sent away."),
        idle_commands_max: option(
          count({ min: 10, max: 100_000 }),
          100,
          "Commands that lead nowhere (NOOP, RSET, VRFY …) since the last message, before a client is sent away.",
        ),
        shed_lag: option(
          duration({ minMs: 0, maxMs: minute }),
          2 * second,
          "While the server's own work is late by so much, new clients are told to try again later; 0ms is never.",
        ),
      }),
    },
  ),

  domains: section("Whose mail is taken.", {
    local: option(domains, ["example.test"], "Domains whose mailboxes are here; every local part is accepted."),
    relay: option(domains, [], "Domains whose mail is taken and passed on."),
  }),

  delivery: section("Where mail goes.", {
    maildir: pathOption(
      optional(
        path("a folder"),
        "Folder of the mailboxes: `DOMAIN/USER/` in it, each a Maildir.",
        "`mail` in the data folder",
      ),
    ),
    connections_max: option(count({ min: 1, max: 1_000 }), 10, "Connections at a time to one next hop."),
    concurrency: option(count({ min: 1, max: 10_000 }), 100, "Attempts at a time, in all."),
    smarthost: optionalSection("Next hop of all mail that is not local. Without this section such mail is held.", {
      host: required(text("a host name or address"), "Name or address of the smarthost."),
      port: option(count({ min: 1, max: 65_535 }), 25, "Its TCP port."),
      tls: option(
        choice("way", ["opportunistic", "required", "off"]),
        "opportunistic",
        "`opportunistic` uses STARTTLS where offered, without checking the certificate; `required` checks it and never sends without.",
      ),
      implicit_tls: option(
        flag,
        false,
        "Begins with the handshake, as on port 465; `tls` says what its certificate has to prove.",
      ),
      user: optional(text("a user name"), "User to log in as."),
      password_file: pathOption(optional(path("a file"), "File whose first line is the password.")),
    }),
    tls: sectionList(
      "How much TLS a next hop needs, in the place of what is written elsewhere. The first that matches holds.",
      { nameKey: null, fallback: [] },
      {
        host: required(text("a host name, or *.domain"), "Name of the next hop; `*.example.org` is every name below."),
        policy: required(
          choice("policy", ["off", "opportunistic", "required", "verified"]),
          "`off` never; `opportunistic` where it is offered; `required` always, with any certificate; `verified` always, with one that proves the name.",
        ),
      },
    ),
    retry: section("When a deferred message is tried again.", {
      first: option(
        duration({ minMs: second, maxMs: day }),
        5 * minute,
        "Wait after the first attempt; each later wait is longer.",
      ),
      max: option(duration({ minMs: second, maxMs: 7 * day }), 30 * minute, "Longest wait between attempts."),
      // RFC 5321 §4.5.4.1: the give-up time is generally at least 4 to 5 days.
      lifetime: option(
        duration({ minMs: minute, maxMs: 30 * day }),
        5 * day,
        "A message that is still not delivered after so long goes back to its sender.",
      ),
    }),
  }),

  spool: section("Where accepted mail is kept until it is delivered.", {
    backend: option(
      choice("back end", ["sqlite", "memory"]),
      "sqlite",
      "`memory` forgets everything when the server stops: for tests only.",
    ),
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
      priority: option(count({ min: 0, max: priorityMax }), priorityDefault, "0 is asked first."),
      rule: optional(
        text("a rule", /^[^\x00-\x1f\x7f]*$/),
        "Which events it is asked about; the language is in docs/rules.md.",
      ),
      enabled: option(flag, true, "`false` keeps the binding without asking the sink."),
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

  scripts: section("Scripts and what they may use.", {
    folder: pathOption(
      option(path("a folder"), "./scripts", "Folder of the scripts. Saving a file in it makes it live."),
    ),
    processes: option(
      count({ min: 1, max: 256 }),
      processesDefault,
      "Sandbox processes.",
      "one for two cores, at least one",
    ),
    rss_max: option(
      size({ min: 128 * mib, max: 64 * 1024 * mib }),
      512 * mib,
      "Memory of one sandbox process; one that has more is replaced.",
    ),
    limits: section("Limits of one run of a script.", {
      cpu: option(duration({ minMs: 1, maxMs: minute }), 500, "Time in which the script itself computes."),
      wall: option(duration({ minMs: 10, maxMs: minute }), 5 * second, "Time of the whole run."),
      heap: option(size({ min: 8 * mib, max: 2_048 * mib }), 64 * mib, "Heap of the script, a whole number of MiB."),
      actions_max: option(count({ min: 1, max: 100_000 }), 1_000, "Edits of one run."),
      log_lines_max: option(count({ min: 0, max: 10_000 }), 100, "Log lines of one run."),
    }),
    breaker: section("When a script that keeps failing is suspended.", {
      faults: option(count({ min: 1, max: 10_000 }), 10, "So many faults …"),
      within: option(duration({ minMs: second, maxMs: day }), minute, "… within this time suspend the script …"),
      suspend: option(
        duration({ minMs: second, maxMs: day }),
        minute,
        "… for so long; then one run decides whether it is over.",
      ),
    }),
  }),

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

function processesDefault(): number {
  return Math.max(1, Math.floor(availableParallelism() / 2));
}
