/**
 * Programs of the system that black-box tests and the benchmark use: where they are, and how to get them.
 * What a test does without one is said in describe-with.ts.
 */
import { accessSync, constants, existsSync, globSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What cannot be installed beside Postfix is unpacked here by .ci/run: packages of which one file is used. */
const unpacked = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "onarrival-tools");

/**
 * Every tool a test may ask for: the files it may be, in order, the Debian package that brings it, and whether only root can use it as tests do.
 * `unpacked`: from the package, without installing it.
 */
const tools = {
  swaks: { names: ["swaks"], install: "swaks" },
  "smtp-source": { names: ["smtp-source"], install: "postfix" },
  "smtp-sink": { names: ["smtp-sink"], install: "postfix" },
  "postfix-master": {
    names: ["/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master"],
    install: "postfix",
    asRoot: true,
  },
  "postfix-sendmail": { names: ["/usr/sbin/sendmail"], install: "postfix", asRoot: true },
  exim: { names: [join(unpacked, "exim/usr/sbin/exim4")], install: "exim4-daemon-light", asRoot: true, unpacked: true },
  dovecot: { names: ["/usr/sbin/dovecot"], install: "dovecot-lmtpd", asRoot: true },
  saslpasswd2: {
    names: ["/usr/sbin/saslpasswd2", join(unpacked, "sasl/usr/sbin/saslpasswd2")],
    install: "sasl2-bin",
    unpacked: true,
  },
  libfaketime: { names: ["/usr/lib/*/faketime/libfaketime.so.1"], install: "libfaketime" },
  prlimit: { names: ["prlimit"], install: "util-linux" },
  msmtp: { names: ["msmtp"], install: "msmtp" },
  postqueue: { names: ["/usr/sbin/postqueue"], install: "postfix", asRoot: true },
  postconf: { names: ["postconf"], install: "postfix" },
  strace: { names: ["strace"], install: "strace" },
  curl: { names: ["curl"], install: "curl" },
  python3: { names: ["/usr/bin/python3", "python3"], install: "python3" },
  "test_email-data": {
    names: ["/usr/lib/python3*/test/test_email/data", "/usr/local/lib/python3*/test/test_email/data"],
    install: "libpython3.11-testsuite",
  },
} satisfies Record<string, Tool>;

interface Tool {
  readonly names: readonly string[];
  readonly install: string;
  readonly asRoot?: boolean;
  readonly unpacked?: boolean;
}

export type ToolName = keyof typeof tools;

/** The tool's absolute path, or undefined where the machine has it not. Programs of administrators (`/usr/sbin`) are looked for too. */
export function findTool(tool: ToolName): string | undefined {
  const { names, asRoot = false }: Tool = tools[tool];
  if (asRoot && process.getuid?.() !== 0) return undefined;
  for (const name of names) {
    if (name.includes("*")) {
      const found = globSync(name).sort().at(-1);
      if (found !== undefined) return found;
    } else if (name.startsWith("/")) {
      if (existsSync(name)) return name;
    } else {
      for (const folder of [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/local/sbin", "/sbin"]) {
        if (folder !== "" && isExecutable(join(folder, name))) return join(folder, name);
      }
    }
  }
  return undefined;
}

/** @throws {Error} naming the package to install */
export function requireTool(tool: ToolName): string {
  const path = findTool(tool);
  if (path === undefined) throw new Error(`Cannot find ${tool}: ${howToInstall(tool)}`);
  return path;
}

/** Of `wanted`, what is not there; each with the words that say what to do. */
export function missingTools(wanted: readonly ToolName[]): string[] {
  return wanted.filter((tool) => findTool(tool) === undefined).map((tool) => `${tool} (${howToInstall(tool)})`);
}

function howToInstall(tool: ToolName): string {
  const { install, asRoot = false, unpacked = false }: Tool = tools[tool];
  return `${unpacked ? `unpack ${install} as .ci/run does` : `install: apt-get install ${install}`}${asRoot ? "; run as root" : ""}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
