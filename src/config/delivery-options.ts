/** The options of delivery, as a part of THE table of options (option-table.ts). */
import { choice, count, duration, flag, path, rate, size, text } from "../platform/value.ts";
import { option, optional, optionalSection, pathOption, required, section, sectionList } from "./option.ts";
import { nextHop } from "./value-net.ts";

const mib = 1024 * 1024;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

export const deliveryOptions = section("Where mail goes.", {
  maildir: pathOption(
    optional(
      path("a folder"),
      "Folder of the mailboxes: `DOMAIN/USER/` in it, each a Maildir.",
      "`mail` in the data folder",
    ),
  ),
  local: option(
    nextHop,
    "maildir",
    "Where mail for local domains goes: `maildir`, `drop`, `lmtp://HOST:PORT`, `lmtp:/PATH` of a socket, or the `https://` address of a program.",
  ),
  remote: option(
    choice("way", ["hold", "mx"]),
    "hold",
    "What becomes of other mail where no route holds and no smarthost is set: `hold` keeps it, `mx` gives it to the mail exchangers of its domain.",
  ),
  mailbox_size_max: option(
    size({ min: 0, max: 1024 * 1024 * mib }),
    0,
    "Octets in one Maildir, above which mail for it is deferred; 0 is no limit.",
  ),
  http: section("Delivery to programs by HTTP; docs/delivery.md has the request.", {
    secret_file: pathOption(
      optional(path("a file"), "File whose first line signs each request, in `OnArrival-Signature`."),
    ),
    timeout: option(duration({ minMs: 100, maxMs: 10 * minute }), 30 * second, "Time for one request."),
  }),
  mx_port: option(count({ min: 1, max: 65_535 }), 25, "TCP port of mail exchangers."),
  addresses: option(
    choice("kind", ["any", "ipv4", "ipv6"]),
    "any",
    "Which addresses of a next hop are tried: of `any`, IPv6 and IPv4 in turn, IPv6 first.",
  ),
  private_addresses: option(
    flag,
    false,
    "Lets mail exchangers that DNS names, and `user@[address]`, be at loopback, private and link-local addresses. Servers that the configuration names may be anywhere.",
  ),
  mta_sts: option(flag, true, "Asks for the MTA-STS policies of recipients' domains and holds to them."),
  dane: option(flag, true, "Holds to TLSA records where the name server says that they are signed (DNSSEC)."),
  connections_max: option(count({ min: 1, max: 1_000 }), 10, "Connections at a time to one next hop."),
  concurrency: option(count({ min: 1, max: 10_000 }), 100, "Attempts at a time, in all."),
  attempt_timeout: option(
    duration({ minMs: second, maxMs: day }),
    hour,
    "An attempt that is not over by then is told to end; whom it has not delivered to is deferred.",
  ),
  shape: sectionList(
    "What one destination may be given: a domain, or the next hop that many share. `onarrival queue shape` changes it while the server runs. The first that matches holds.",
    { nameKey: null, fallback: [] },
    {
      match: required(text("a domain, *.domain, or a next hop"), "Which destinations."),
      connections_max: optional(count({ min: 1, max: 1_000 }), "Attempts at a time."),
      rate: optional(rate, "Attempts in how long."),
    },
  ),
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
  dsn: section("Reports to senders about what became of their mail.", {
    template: pathOption(
      optional(path("a file"), "Words of the reports, in the place of ours; docs/reports.md tells how it is written."),
    ),
  }),
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
    delay_warning: option(
      duration({ minMs: 0, maxMs: 30 * day }),
      4 * hour,
      "Its sender is told once that a message is late when it is so old; 0s is never.",
    ),
  }),
});
