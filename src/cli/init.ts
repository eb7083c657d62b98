/** `onarrival init`: makes a working site, and copies examples into one. Overwrites nothing: where any of its files is there already, nothing is written at all. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { configJsonSchema } from "../config/reference.ts";
import { describeThrown } from "../platform/fault.ts";
import { declarationFolder, editorProject, readDeclarations } from "../scripting/declarations.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { copyExamples, findExamples } from "./init-example.ts";
import type { CommandContext } from "./terminal.ts";

export interface InitFlags {
  /** Scripts that come along, by name. */
  readonly example?: readonly string[];
}

/** Where a site is there already and examples are named, those alone are copied. @throws {UsageError} */
export async function init(
  folder: string,
  context: CommandContext,
  { example: names = [] }: InitFlags = {},
): Promise<ExitStatus> {
  const root = resolve(context.cwd, folder);
  const examples = await findExamples(names);
  const hasSite = existsSync(join(root, "onarrival.toml"));
  if (!hasSite || examples.length === 0) await makeSite(root, context);
  if (examples.length > 0) await copyExamples(examples, root, context);
  return exitStatus.done;
}

async function makeSite(root: string, { terminal, cwd, env }: CommandContext): Promise<void> {
  const files = await siteFiles();
  const present = Object.keys(files).filter((path) => existsSync(join(root, path)));
  if (present.length > 0) {
    throw new UsageError(
      `Cannot make a site in ${root}: ${present.join(", ")} ${present.length === 1 ? "is" : "are"} there already, and nothing is overwritten`,
      "Name another folder: onarrival init DIR",
    );
  }
  for (const [path, { text }] of Object.entries(files)) {
    await mkdir(join(root, dirname(path)), { recursive: true }).catch((error: unknown) => {
      throw new UsageError(
        `Cannot make a site in ${root}: ${describeThrown(error)}`,
        "Name another folder: onarrival init DIR",
      );
    });
    await writeFile(join(root, path), text, { flag: "wx" });
  }
  const { out, err } = terminal;
  const told = Object.entries(files).filter(([, { what }]) => what !== null);
  const width = Math.max(...told.map(([path]) => path.length));
  const below = relative(cwd, root);
  const near = below.startsWith("..") ? root : below;
  for (const [path, { what }] of told)
    out.write(
      `${join(near, path).padEnd(width + (near === "" ? 0 : near.length + 1))}  ${err.paint("dim", what ?? "")}\n`,
    );
  const command = commandIn(env);
  const next = [
    ...(near === "" ? [] : [`cd ${shellWord(near)}`]),
    `${command} test scripts/tag-external.ts samples/hello.eml`,
    `${command} serve`,
  ];
  err.write(`\nNext:\n${next.map((line) => `  ${err.paint("cyan", line)}\n`).join("")}`);
}

/**
 * How this program is called from anywhere: by its name where that is on PATH, else by its file. The folders that npm and npx put on PATH
 * are there for one command only, and `npx onarrival` in a folder of its own would ask the registry.
 */
function commandIn({ PATH = "" }: NodeJS.ProcessEnv): string {
  const installed = PATH.split(delimiter).some(
    (folder) => folder !== "" && !folder.includes("node_modules") && existsSync(join(folder, "onarrival")),
  );
  if (installed) return "onarrival";
  return `node ${shellWord(fileURLToPath(new URL("launch.mjs", import.meta.url)))}`;
}

/** A path as a shell reads it: in quotes where it has to be. */
function shellWord(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

interface SiteFile {
  readonly text: string;
  /** null: it is one of several that another line stands for. */
  readonly what: string | null;
}

async function siteFiles(): Promise<Record<string, SiteFile>> {
  const declarations = [...(await readDeclarations())].map(([name, text]) => {
    const what = name === "api.d.ts" ? "for the editor: the script API, which is the manual" : null;
    return [`${declarationFolder}/${name}`, { text, what }] as const;
  });
  return {
    "onarrival.toml": { text: configText, what: "the configuration" },
    "scripts/tag-external.ts": { text: tagExternal, what: "a script: marks mail from outside" },
    "scripts/block-programs.ts": { text: blockPrograms, what: "a script: refuses programs" },
    "samples/hello.eml": { text: sampleMail, what: "a message to test with" },
    "tsconfig.json": { text: editorProject("scripts"), what: "for the editor: where scripts and their API are" },
    ...Object.fromEntries(declarations),
    ".onarrival/onarrival.schema.json": {
      text: `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
      what: "for the editor: knows the configuration",
    },
  };
}

const configText = `#:schema ./.onarrival/onarrival.schema.json
# All that is not written here has a default: onarrival config show --origin

data = "./data"                # spool, mailboxes, control socket

[[listeners]]
name = "mx"
address = "127.0.0.1"          # "0.0.0.0" takes mail from everywhere
port = 2525                    # 25 in earnest; docs/running.md tells how without being root
role = "mx"

[domains]
local = ["example.test"]       # your domains; every local part is accepted
# mailboxes = "mailboxes"      # … but for those of a file, one a line
# aliases = "aliases"          # sales: ann, bob@example.com

[scripts]
folder = "./scripts"           # save a file here, and the next message runs it

# Mail to other domains is held until you say where it goes: straight to their mail exchangers,
# [delivery]
# remote = "mx"
# or to a smarthost:
# [delivery.smarthost]
# host = "smtp.example.org"
# port = 25
`;

const tagExternal = `/** Marks the subject of mail that comes from outside. */
import type { ArrivalHandler } from "onarrival";

const ours = ["example.test"];

export const priority = 1000;

export const onArrival: ArrivalHandler = (mail, { log }) => {
  const domain = mail.envelope.from?.split("@").at(-1) ?? "";
  if (mail.session.user !== null || ours.includes(domain)) return;
  if (!mail.subject.startsWith("[external]")) mail.subject = \`[external] \${mail.subject}\`;
  log.info("tagged, from", domain || "nobody");
};
`;

const blockPrograms = `/** Refuses mail with programs in it. */
import type { ArrivalHandler } from "onarrival";

const programs = /\\.(exe|scr|bat|cmd|com|js|vbs|jar|msi)$/i;

export const onArrival: ArrivalHandler = (mail) => {
  const program = mail.attachments.find((attachment) => programs.test(attachment.fileName ?? ""));
  if (program) mail.refuse("Programs are not accepted here");
};
`;

const sampleMail = [
  "From: Ada Sender <ada@example.com>",
  "To: Rob Recipient <rob@example.test>",
  "Subject: Hello",
  "Date: Mon, 02 Nov 2026 09:30:00 +0000",
  "Message-ID: <hello-1@example.com>",
  "MIME-Version: 1.0",
  "Content-Type: text/plain; charset=utf-8",
  "",
  "Dear Rob,",
  "",
  "this is the first message.",
  "",
  "Ada",
  "",
].join("\r\n");
