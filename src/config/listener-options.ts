/** The options of a listener, as a part of THE table of options (option-table.ts). */

import { choice, choices, count, duration, flag, ipAddress, path, size, text } from "../platform/value.ts";
import { networkList as networks } from "../sinks/property-kind.ts";
import { option, optionalSection, pathOption, required, section, sectionList } from "./option.ts";

const kib = 1024;
const mib = 1024 * kib;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

const name = text('a name of letters, digits and "-"', /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/);
const port = count({ min: 0, max: 65_535 });

export const listenerOptions = sectionList(
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
    verify: option(
      choice("whom", ["off", "public", "all"]),
      "public",
      "Whose mail is checked by SPF, DKIM, DMARC and ARC: `public` is every client without a login whose address is public, `all` is every client without a login. What follows from it is for sinks and scripts to say.",
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
      results: option(
        networks,
        [],
        "Hosts of ours whose `Authentication-Results` under our own name are kept; from everybody else they are removed.",
      ),
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
);
