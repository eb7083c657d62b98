/** The options of scripts, as a part of THE table of options (option-table.ts). */
import { availableParallelism } from "node:os";
import { choice, count, duration, flag, list, path, size } from "../platform/value.ts";
import { option, optional, pathOption, section } from "./option.ts";

const mib = 1024 * 1024;
const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;

const processesDefault = () => Math.max(1, Math.floor(availableParallelism() / 2));

/** `https://directory.example.org`, `https://*.example.org:8443`. */
const origins = list(
  "origins such as https://directory.example.org or https://*.example.org",
  /^https?:\/\/(?:\*\.)?[^\s/*?#@]+$/,
);
const packages = list("names of npm packages", /^(?:@[a-z0-9-~][a-z0-9-._~]*\/)?[a-z0-9-~][a-z0-9-._~]*$/);
const addresses = list("addresses, domains or *.domain", /^(?:\*\.)?[^\s*]+$/);
const names = list("names", /^[A-Za-z0-9_.-]{1,64}$/);

export const scriptOptions = section("Scripts and what they may use.", {
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
  packages: option(
    packages,
    [],
    "npm packages that scripts may import; from `node_modules` in the scripts folder or above it.",
  ),
  types: option(
    choice("policy", ["off", "warn", "block"]),
    "warn",
    "What an error of the type checker means for a script that was saved: nothing, a line in the log, or that the version before it stays.",
  ),
  tests: option(
    choice("policy", ["off", "warn", "block"]),
    "block",
    "What a test beside a script (`name.test/`) that fails means for a version that was saved: it is not run, it warns, or the version before stays.",
  ),
  versions_max: option(count({ min: 1, max: 10_000 }), 100, "Versions kept of each script, for history and rollback."),
  limits: section("Limits of one run of a script.", {
    cpu: option(duration({ minMs: 1, maxMs: minute }), 500, "Time in which the script itself computes."),
    wall: option(duration({ minMs: 10, maxMs: minute }), 5 * second, "Time of the whole run."),
    heap: option(size({ min: 8 * mib, max: 2_048 * mib }), 64 * mib, "Heap of the script, a whole number of MiB."),
    actions_max: option(count({ min: 1, max: 100_000 }), 1_000, "Edits of one run."),
    content_max: option(
      size({ min: 65_536, max: 1_024 * mib }),
      25 * mib,
      "Octets of the parts and messages a run writes.",
    ),
    calls_max: option(
      count({ min: 0, max: 10_000 }),
      50,
      "What one run may ask of the server: requests, look-ups, its store.",
    ),
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
  grants: section("What scripts may be granted at all; a script asks for it with `export const grants`.", {
    approval: option(
      choice("policy", ["required", "ceiling"]),
      "required",
      "`required`: a version that asks for more than the one before waits for `onarrival scripts approve`. `ceiling`: what stands here is granted without asking.",
    ),
    http: option(origins, [], "Origins that may be asked by HTTP; `https://*.example.org` is every host below."),
    private_addresses: option(flag, false, "Lets scripts reach loopback, private and link-local addresses by HTTP."),
    http_requests_max: option(count({ min: 0, max: 1_000 }), 10, "HTTP requests of one run."),
    http_size_max: option(size({ min: 1_024, max: 256 * mib }), mib, "Octets of one request, and of one answer."),
    http_timeout: option(duration({ minMs: 100, maxMs: minute }), 5 * second, "Time for one request."),
    dns: option(flag, true, "Look-ups of names."),
    kv: option(flag, true, "A store of the script's own."),
    kv_size_max: option(size({ min: 1_024, max: 16 * 1024 * mib }), 64 * mib, "Octets in the store of one script."),
    submit: option(count({ min: 0, max: 1_000 }), 10, "Messages one run may make; 0 is none."),
    submit_to: option(addresses, [], "To whom; nothing is anybody. Recipients of local domains are always allowed."),
    secrets: option(names, [], "Names of secrets that may be read."),
    secrets_folder: pathOption(
      optional(path("a folder"), "Folder of the secrets, a file each.", "`secrets` in the data folder"),
    ),
  }),
  records: section("Records of runs, to replay them; docs/records.md.", {
    faults: option(flag, true, "Records the runs that end with a fault."),
    count_max: option(count({ min: 0, max: 100_000 }), 200, "Records that are kept; the oldest go."),
    size_max: option(size({ min: mib, max: 64 * 1024 * mib }), 256 * mib, "Octets of all records."),
    retention: option(duration({ minMs: minute, maxMs: 365 * day }), 14 * day, "How long they are kept."),
  }),
});
