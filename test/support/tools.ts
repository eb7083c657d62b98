/**
 * Programs of the system that black-box tests and the benchmark use: where they are, and how to get them.
 * What a test does without one is said in describe-with.ts.
 */
import { accessSync, constants, existsSync, globSync } from "node:fs";
import { join } from "node:path";

/** Every tool a test may ask for: the files it may be, in order, and the Debian package that brings it. */
const tools = {
  swaks: { names: ["swaks"], install: "swaks" },
  "smtp-source": { names: ["smtp-source"], install: "postfix" },
  "smtp-sink": { names: ["smtp-sink"], install: "postfix" },
  "postfix-master": { names: ["/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master"], install: "postfix" },
  postconf: { names: ["postconf"], install: "postfix" },
  strace: { names: ["strace"], install: "strace" },
  curl: { names: ["curl"], install: "curl" },
  python3: { names: ["/usr/bin/python3", "python3"], install: "python3" },
  "test_email-data": {
    names: ["/usr/lib/python3*/test/test_email/data", "/usr/local/lib/python3*/test/test_email/data"],
    install: "libpython3.11-testsuite",
  },
} as const satisfies Record<string, { readonly names: readonly string[]; readonly install: string }>;

export type ToolName = keyof typeof tools;

/** The tool's absolute path, or undefined where the machine has it not. Programs of administrators (`/usr/sbin`) are looked for too. */
export function findTool(tool: ToolName): string | undefined {
  for (const name of tools[tool].names) {
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
  return `install: apt-get install ${tools[tool].install}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
