/** Loading a configuration: who wins, what is told of what is wrong and where, and what the program gets. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { type LoadedConfig, loadConfig } from "../../../src/config/load.ts";
import { formatProblem, problemsOf } from "../../../src/config/problem.ts";
import { formatConfig } from "../../../src/config/reference.ts";
import { Fault } from "../../../src/platform/fault.ts";

const folder = mkdtempSync(join(tmpdir(), "config-"));
const file = join(folder, "onarrival.toml");
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => rmSync(file, { force: true }));

function load(toml: string, options: { env?: NodeJS.ProcessEnv; flags?: Record<string, string> } = {}): LoadedConfig {
  writeFileSync(file, toml);
  return loadConfig({ env: options.env ?? {}, cwd: folder, ...(options.flags && { flags: options.flags }) });
}

/** Every problem in one line each, the file's folder left out. */
function problems(toml: string, options: { env?: NodeJS.ProcessEnv; flags?: Record<string, string> } = {}): string[] {
  try {
    load(toml, options);
  } catch (error) {
    return problemsOf(error).map((problem) => formatProblem(problem).replace(`${folder}/`, ""));
  }
  return [];
}

describe("loadConfig", () => {
  test("gives the default site without any file", () => {
    const { config, file: found, origins } = loadConfig({ env: {}, cwd: folder });
    expect(found).toBeNull();
    expect(config).toMatchObject({
      data: join(folder, "data"),
      listeners: [
        {
          name: "mx",
          address: "127.0.0.1",
          port: 2525,
          role: "mx",
          engine: "native",
          lineEnds: "refuse",
          limits: {
            sizeOctetsMax: 26_214_400,
            recipientsMax: 100,
            connectionsMax: 1_000,
            connectionsPerClientMax: 50,
            idleTimeoutMs: 300_000,
          },
        },
      ],
      domains: { local: ["example.test"], relay: [] },
      delivery: { maildir: join(folder, "data/mail"), connectionsMax: 10, concurrency: 100 },
      spool: { backend: "sqlite" },
      sinks: [],
      scripts: {
        folder: join(folder, "scripts"),
        limits: { cpuMs: 500, wallMs: 5_000, heapMiB: 64, actionsMax: 1_000, logLinesMax: 100 },
        rssMiBMax: 512,
        breaker: { faults: 10, withinMs: 60_000, suspendMs: 60_000 },
      },
      admin: { address: "127.0.0.1", port: 8025, hosts: [] },
      log: { level: "info" },
    });
    expect(config.delivery.smarthost).toBeUndefined();
    expect(config.listeners[0]).not.toHaveProperty("tls");
    expect(config.scripts.processes).toBeGreaterThanOrEqual(1);
    expect(config.hostname).toMatch(/\S/);
    expect(new Set(origins.values())).toEqual(new Set(["default"]));
  });

  test("gives an empty file the same configuration as none", () => {
    const none = loadConfig({ env: {}, cwd: folder }).config;
    expect(load("").config).toEqual(none);
  });

  test("reads every option of a whole file", () => {
    const { config } = load(`
      data = "/srv/mail"
      hostname = "MX.Example.org"
      [[listeners]]
      name = "in"
      address = "::1"
      port = 0
      tls = { cert = "tls/cert.pem", key = "/etc/key.pem" }
      limits = { size_max = "10MB", recipients_max = 200, idle_timeout = "90s" }
      [[listeners]]
      name = "out"
      role = "submission"
      port = 2587
      [domains]
      local = ["Example.org", "bücher.example"]
      [delivery]
      maildir = "boxes"
      [delivery.smarthost]
      host = "relay.example"
      port = 587
      tls = "required"
      user = "u"
      password_file = "secret"
      [dns]
      servers = ["192.0.2.53", "[2001:db8::53]:5353"]
      trusted = ["[2001:db8::53]:5353"]
      timeout = "2s"
      [[sinks]]
      module = "./sinks/a.ts"
      event = "onArrival"
      rule = "RCPT TO=*@example.org"
      on_fault = "proceed"
      properties = { level = 3 }
      [[sinks]]
      module = "/opt/b.ts"
      export = "b"
      events = ["onHelo", "onConnect"]
      enabled = false
    `);
    expect(config.hostname).toBe("mx.example.org");
    expect(
      config.listeners.map(({ name, role, port, tls, limits }) => [
        name,
        role,
        port,
        tls,
        limits.sizeOctetsMax,
        limits.idleTimeoutMs,
      ]),
    ).toEqual([
      [
        "in",
        "mx",
        0,
        { mode: "starttls", cert: join(folder, "tls/cert.pem"), key: "/etc/key.pem", askCertificate: false, more: [] },
        10_000_000,
        90_000,
      ],
      ["out", "submission", 2587, undefined, 26_214_400, 300_000],
    ]);
    expect(config.domains.local).toEqual(["example.org", "xn--bcher-kva.example"]);
    expect(config.dns).toEqual({
      servers: ["192.0.2.53", "[2001:db8::53]:5353"],
      trustedServers: ["[2001:db8::53]:5353"],
      timeoutMs: 2_000,
    });
    expect(config.delivery).toMatchObject({
      maildir: join(folder, "boxes"),
      smarthost: { host: "relay.example", port: 587, tls: "required", user: "u", passwordFile: join(folder, "secret") },
    });
    expect(config.sinks).toEqual([
      {
        module: join(folder, "sinks/a.ts"),
        events: ["onArrival"],
        priority: 24_575,
        rule: "RCPT TO=*@example.org",
        enabled: true,
        onFault: "proceed",
        timeoutMs: 60_000,
        maxFirings: 0,
        properties: { level: 3 },
      },
      {
        module: "/opt/b.ts",
        export: "b",
        events: ["onHelo", "onConnect"],
        priority: 24_575,
        rule: null,
        enabled: false,
        onFault: "defer",
        timeoutMs: 60_000,
        maxFirings: 0,
        properties: {},
      },
    ]);
  });

  test("lets a flag win over the environment, that over the file, and that over the default", () => {
    const toml = '[log]\nlevel = "warn"\n[delivery]\nconcurrency = 1\nconnections_max = 1\n';
    const env = { ONARRIVAL_LOG_LEVEL: "error", ONARRIVAL_DELIVERY_CONCURRENCY: "2" };
    const { config, origins } = load(toml, { env, flags: { "log.level": "debug" } });
    expect([config.log.level, config.delivery.concurrency, config.delivery.connectionsMax]).toEqual(["debug", 2, 1]);
    expect(
      ["log.level", "delivery.concurrency", "delivery.connections_max", "spool.backend"].map((key) => origins.get(key)),
    ).toEqual(["flag", "environment", "file", "default"]);
  });

  test.each([
    ["the data folder", { ONARRIVAL_DATA: "d" }, "data", join(folder, "d")],
    ["the scripts folder", { ONARRIVAL_SCRIPTS: "s" }, "scripts.folder", join(folder, "s")],
    ["the first listener's port", { ONARRIVAL_SMTP_PORT: "0" }, "listeners.mx.port", 0],
    ["the admin port", { ONARRIVAL_ADMIN_PORT: "1" }, "admin.port", 1],
    ["a listener by its name", { ONARRIVAL_LISTENERS_MX_PORT: "2" }, "listeners.mx.port", 2],
    [
      "a section that is not in the file",
      { ONARRIVAL_DELIVERY_SMARTHOST_HOST: "h.example" },
      "delivery.smarthost.host",
      "h.example",
    ],
    ["a list", { ONARRIVAL_DOMAINS_LOCAL: "a.test,b.test" }, "domains.local", ["a.test", "b.test"]],
  ])("takes %s from the environment", (_why, env, key, value) => {
    const loaded = load("", { env });
    expect(loaded.origins.get(key)).toBe("environment");
    const place = key.replace("listeners.mx", "listeners.0").split(".");
    expect(place.reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], loaded.values)).toEqual(value);
  });

  test("reads paths of the file from the file's folder, those of the shell from where the shell is", () => {
    writeFileSync(file, 'data = "here"\n');
    const loaded = loadConfig({ path: file, env: { ONARRIVAL_SCRIPTS: "there" }, cwd: "/srv" });
    expect([loaded.config.data, loaded.config.scripts.folder]).toEqual([join(folder, "here"), "/srv/there"]);
  });

  test("warns of an environment name that names nothing, and takes an empty one for none", () => {
    const { warnings, config } = load("", {
      env: { ONARRIVAL_DTA: "x", ONARRIVAL_LOG_LEVEL: "", ONARRIVAL_CRASH_AT: "spool" },
    });
    expect(warnings).toEqual(["ONARRIVAL_DTA is in the environment and names no option; did you mean ONARRIVAL_DATA?"]);
    expect(config.log.level).toBe("info");
  });

  test("tells every problem at once, with its place and the nearest key", () => {
    const toml = [
      'hostnam = "x"',
      "[[listeners]]",
      "port = 99999",
      'role = "submision"',
      '  limits = { size_max = "1 parsec", recipients_max = 99 }',
      "[delivery.smarthost]",
      "port = 25",
      "[log]",
      'level = "loud"',
      "[domains]",
      'local = ["a b"]',
      "[[sinks]]",
      'event = "onArival"',
    ].join("\n");
    expect(problems(toml)).toEqual([
      'onarrival.toml:1:1: hostnam: unknown key "hostnam"; did you mean "hostname"?',
      "onarrival.toml:3:1: listeners.mx.port: expected a whole number from 0 to 65535, found 99999",
      'onarrival.toml:4:1: listeners.mx.role: expected "mx" or "submission" or "lmtp", found "submision"; did you mean "submission"?',
      'onarrival.toml:5:14: listeners.mx.limits.size_max: expected a size such as "25MiB", from 64KiB to 1GiB, found "1 parsec"',
      "onarrival.toml:5:37: listeners.mx.limits.recipients_max: expected a whole number from 100 to 10000, found 99",
      'onarrival.toml:6:1: delivery.smarthost.host: "host" is missing: expected a host name or address',
      'onarrival.toml:9:1: log.level: expected "debug" or "info" or "warn" or "error", found "loud"',
      'onarrival.toml:11:1: domains.local: expected a list of domains ("a b" is none), found ["a b"]',
      "onarrival.toml:12:1: sinks.0.module: no sink: expected use or module",
      'onarrival.toml:13:1: sinks.0.event: expected the name of an event, found "onArival"; did you mean "onArrival"?',
    ]);
  });

  test.each([
    ["a syntax error has its line and column", 'a = "x"\nport = = 3\n', ["onarrival.toml:2:8:"]],
    ["a key twice is a syntax error", 'data = "a"\ndata = "b"\n', ["onarrival.toml:2:"]],
    [
      "a name server that is none, with its place",
      '[dns]\nservers = ["192.0.2.53", "192.0.2.53:0"]',
      [
        'onarrival.toml:2:1: dns.servers: expected a list of addresses such as ["127.0.0.1", "[2001:db8::53]:5353"] ("192.0.2.53:0" is none)',
      ],
    ],
    [
      "a name that is no name server",
      '[dns]\ntrusted = ["ns.example.test"]',
      ["onarrival.toml:2:1: dns.trusted: expected a list of addresses"],
    ],
    [
      "a name server that is believed and never asked",
      '[dns]\nservers = ["192.0.2.53", "2001:db8::53"]\ntrusted = ["192.0.2.53:53", "[2001:DB8:0::53]:53", "192.0.2.53:5353"]',
      ["onarrival.toml:3:1: dns.trusted: 192.0.2.53:5353 is not among dns.servers"],
    ],
    ["text for a list of name servers", '[dns]\nservers = "192.0.2.53"', ["onarrival.toml:2:1: dns.servers: expected"]],
    ["a value for a table", "log = 3", ["onarrival.toml:1:1: log: expected a table, found 3"]],
    [
      "a table for a list of tables",
      "[listeners]\nport = 1",
      ["onarrival.toml:1:1: listeners: expected [[listeners]], once for each"],
    ],
    [
      "two listeners of one name",
      "[[listeners]]\n[[listeners]]\nport = 1",
      ["onarrival.toml:2:1: listeners.mx.name: a listener named"],
    ],
    [
      "two listeners on one port",
      '[[listeners]]\n[[listeners]]\nname = "b"',
      ["onarrival.toml:2:1: listeners.b.port: 127.0.0.1 port 2525 is taken by listener mx"],
    ],
    [
      "a listener on the admin port",
      "[[listeners]]\nport = 8025",
      ["onarrival.toml:2:1: listeners.mx.port: 127.0.0.1 port 8025 is taken by the admin port"],
    ],
    ["no listener at all", "listeners = []", ["onarrival.toml:1:1: listeners: there is no listener"]],
    [
      "retries in the wrong order",
      '[delivery.retry]\nfirst = "2h"',
      ["onarrival.toml:2:1: delivery.retry.first: expected at most delivery.retry.max (30m), found 2h"],
    ],
    [
      "a lifetime shorter than a wait",
      '[delivery.retry]\nlifetime = "20m"',
      ["onarrival.toml:1:1: delivery.retry.max: expected at most delivery.retry.lifetime (20m), found 30m"],
    ],
    [
      "a user without a password",
      '[delivery.smarthost]\nhost = "h"\nuser = "u"',
      ["onarrival.toml:1:1: delivery.smarthost.password_file: expected a password_file beside user"],
    ],
    [
      "a password without a user",
      '[delivery.smarthost]\nhost = "h"\npassword_file = "p"',
      ["onarrival.toml:1:1: delivery.smarthost.user: expected a user"],
    ],
    [
      "a password in the clear",
      '[delivery.smarthost]\nhost = "h"\nuser = "u"\npassword_file = "p"\ntls = "off"',
      ["onarrival.toml:5:1: delivery.smarthost.tls: a password is not sent in the clear"],
    ],
    [
      "TLS from the first octet, and never",
      '[delivery.smarthost]\nhost = "h"\nimplicit_tls = true\ntls = "off"',
      ["onarrival.toml:4:1: delivery.smarthost.tls: implicit_tls is TLS"],
    ],
    ["a sink that is none", '[[sinks]]\nevent = "onHelo"', ["onarrival.toml:1:1: sinks.0.module: no sink"]],
    [
      "a sink of ours and of the user's own at once",
      '[[sinks]]\nuse = "greylist"\nmodule = "./a.ts"',
      ["onarrival.toml:3:1: sinks.0.module: use and module"],
    ],
    [
      "the library engine with what it does not have",
      '[[listeners]]\nengine = "library"\nbinarymime = true\n[listeners.trusted]\nxclient = ["127.0.0.1"]',
      ["onarrival.toml:2:1: listeners.mx.engine: the library engine has no binarymime, trusted.xclient"],
    ],
    ["a sink without an event", '[[sinks]]\nmodule = "./a.ts"', ["onarrival.toml:1:1: sinks.0.event: no event"]],
    [
      "a sink with event and events",
      '[[sinks]]\nmodule = "./a.ts"\nevent = "onHelo"\nevents = ["onHelo"]',
      ["onarrival.toml:4:1: sinks.0.events: event and events"],
    ],
    [
      "a rule that is none",
      '[[sinks]]\nmodule = "./a.ts"\nevent = "onArrival"\nrule = "RCPT OT=x"',
      ["onarrival.toml:4:1: sinks.0.rule: "],
    ],
    [
      "more computing than time",
      '[scripts.limits]\ncpu = "6s"',
      ["onarrival.toml:2:1: scripts.limits.cpu: expected at most scripts.limits.wall (5s), found 6s"],
    ],
    [
      "a heap larger than its process",
      '[scripts.limits]\nheap = "512MiB"',
      ["onarrival.toml:2:1: scripts.limits.heap: expected less than scripts.rss_max"],
    ],
    [
      "a wall limit above a minute",
      '[scripts.limits]\nwall = "61s"',
      ["onarrival.toml:2:1: scripts.limits.wall: expected a duration"],
    ],
  ])("refuses: %s", (_why, toml, wanted) => {
    const found = problems(toml);
    expect(found).toHaveLength(wanted.length);
    for (const [i, line] of wanted.entries()) expect(found[i]).toContain(line);
  });

  test("takes any name server that is believed where those of the machine are asked", () => {
    expect(load('[dns]\ntrusted = ["192.0.2.53"]').config.dns.trustedServers).toEqual(["192.0.2.53"]);
  });

  test("takes a wall limit of a minute", () => {
    expect(load('[scripts.limits]\nwall = "60s"').config.scripts.limits.wallMs).toBe(60_000);
  });

  test("names the flag or environment name a wrong value came from", () => {
    expect(
      problems("", { env: { ONARRIVAL_SMTP_PORT: "none" }, flags: { "admin.port": "-1", "admin.prt": "3" } }),
    ).toEqual([
      'flag admin.prt: admin.prt: unknown key "admin.prt"; did you mean "admin.port"?',
      'ONARRIVAL_SMTP_PORT: listeners.mx.port: expected a whole number from 0 to 65535, found "none"',
      "flag admin.port: admin.port: expected a whole number from 0 to 65535, found -1",
    ]);
  });

  test.each([
    ["is not there", "missing.toml", /no such file/],
    ["is a folder", ".", /it is a folder/],
  ])("throws config.unreadable where the named file %s", (_why, path, words) => {
    const attempt = () => loadConfig({ path, env: {}, cwd: folder });
    expect(attempt).toThrow(words);
    try {
      attempt();
    } catch (error) {
      expect((error as Fault).code).toBe("config.unreadable");
      expect(problemsOf(error)).toEqual([]);
    }
  });

  test("reads the file that ONARRIVAL_CONFIG names", () => {
    writeFileSync(join(folder, "other.toml"), '[log]\nlevel = "debug"\n');
    const loaded = loadConfig({ env: { ONARRIVAL_CONFIG: "other.toml" }, cwd: folder });
    expect([loaded.file, loaded.config.log.level]).toEqual([join(folder, "other.toml"), "debug"]);
  });

  test("puts problems into the fault's message and facts", () => {
    try {
      load("nonsense = 1");
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(Fault);
      expect((error as Fault).code).toBe("config.invalid");
      expect((error as Fault).facts.problems).toEqual([
        { file, line: 1, column: 1, key: "nonsense", message: 'unknown key "nonsense"', nearest: null },
      ]);
    }
  });

  test("is not fooled by keys that every object has", () => {
    expect(problems("constructor = 1\n[__proto__]\nx = 1\n")).toEqual([
      expect.stringContaining('unknown key "constructor"'),
      expect.stringContaining('unknown key "__proto__"'),
    ]);
  });
});

describe("formatConfig", () => {
  test("writes a configuration that loads to the same one", () => {
    const first = load(
      '[[listeners]]\nport = 0\n[[listeners]]\nname = "b"\nport = 0\nrole = "submission"\n[[sinks]]\nmodule = "./a.ts"\nevent = "onArrival"\nproperties = { a = { b = [1, "x"] } }\n[delivery.smarthost]\nhost = "h.example"\n',
    );
    const again = load(formatConfig(first, { origins: true }));
    expect(again.config).toEqual(first.config);
  });

  test("says behind each option who won", () => {
    const text = formatConfig(load('[log]\nlevel = "warn"', { env: { ONARRIVAL_SMTP_PORT: "1" } }), { origins: true });
    expect(text).toMatch(/^level = "warn" +# file$/m);
    expect(text).toMatch(/^port = 1 +# environment$/m);
    expect(text).toMatch(/^backend = "sqlite" +# default$/m);
  });
});
