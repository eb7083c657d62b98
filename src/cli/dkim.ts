/** `onarrival dkim add`, `list`, `show`, `check` and `remove`: keys for DKIM signatures, and their records in DNS. Works on the folder; the server sees it. */
import { normalizeDomain } from "../mail/mailbox.ts";
import { systemClock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { createResolver, type Resolver } from "../platform/resolver.ts";
import {
  createKey,
  type DkimKey,
  isUsable,
  keyPath,
  listDomains,
  normalizeSelector,
  readKeys,
  recordName,
  recordStrings,
  recordText,
  removeKey,
  type UnusableKey,
} from "../sinks/dkim-keys.ts";
import { type AnswerSource, confirm } from "./confirm.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, plain } from "./terminal.ts";

type JsonFlag = { readonly json?: boolean };

export async function addKeys(
  name: string,
  flags: SettingsFlags & JsonFlag & { readonly selector?: string; readonly algorithm: string; readonly bits: string },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { folder } = config.dkim;
  const domain = readDomain(name);
  const bits = Number(flags.bits);
  if (!Number.isInteger(bits) || bits < 1_024 || bits > 4_096)
    throw new UsageError(`--bits: expected a number from 1024 to 4096, not ${JSON.stringify(flags.bits)}`);
  const selector = readSelector(
    flags.selector ?? new Date(systemClock.now()).toISOString().slice(0, 7).replace("-", ""),
  );
  const types =
    flags.algorithm === "both"
      ? (["rsa", "ed25519"] as const)
      : ([flags.algorithm === "ed25519" ? "ed25519" : "rsa"] as const);
  const wanted = types.map((type) => ({
    domain,
    selector: types.length === 1 ? selector : `${selector}-${type}`,
    type,
    bits,
  }));
  for (const key of await makeKeys(folder, wanted)) printKey(key, { folder, flags, context });
  if (!flags.json) {
    context.terminal.err.write(
      `Publish ${wanted.length === 1 ? "this record" : "these records"}, then ask onarrival dkim check ${domain}.${config.dkim.sign ? "" : " Nothing is signed: dkim.sign is false."}\n`,
    );
  }
  return exitStatus.done;
}

/** All of them or none. @throws {UsageError} where there is one of them already; {Fault} `data.unusable` */
async function makeKeys(folder: string, wanted: readonly Parameters<typeof createKey>[1][]): Promise<DkimKey[]> {
  const made: DkimKey[] = [];
  for (const key of wanted) {
    try {
      made.push(await inFolder(folder, () => createKey(folder, key)));
    } catch (error) {
      for (const one of made) await inFolder(folder, () => removeKey(folder, one));
      if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code !== "EEXIST") throw error;
      throw new UsageError(
        `There is a key ${key.selector} of ${key.domain} already`,
        "--selector names another one; a key is replaced by a new selector, so that both are valid for a while",
      );
    }
  }
  return made;
}

export async function listAllKeys(flags: SettingsFlags & JsonFlag, context: CommandContext): Promise<ExitStatus> {
  const { folder } = loadSettings(flags, context).config.dkim;
  const { out, err } = context.terminal;
  const keys = await inFolder(folder, async () =>
    (await Promise.all((await listDomains(folder)).map((domain) => readKeys(folder, domain)))).flat(),
  );
  if (flags.json) for (const key of keys) out.write(`${JSON.stringify(keyView(key, folder))}\n`);
  else if (keys.length === 0) err.write("There are no keys; onarrival dkim add DOMAIN makes one.\n");
  else {
    const rows = keys.map((key) => [
      key.domain,
      plain(key.selector),
      isUsable(key) ? kindOf(key) : out.paint("red", plain(key.reason)),
    ]);
    out.write(formatTable(["domain", "selector", "key"], rows, out));
  }
  return exitStatus.done;
}

export async function showKeys(
  name: string,
  flags: SettingsFlags & JsonFlag,
  context: CommandContext,
): Promise<ExitStatus> {
  const { folder } = loadSettings(flags, context).config.dkim;
  const { usable, others } = await keysOf(folder, readDomain(name));
  for (const key of usable) printKey(key, { folder, flags, context });
  for (const key of others) context.terminal.err.write(`${plain(keyPath(folder, key))}: ${plain(key.reason)}\n`);
  return others.length > 0 ? exitStatus.failed : exitStatus.done;
}

export async function checkKeys(
  name: string,
  flags: SettingsFlags & JsonFlag,
  context: CommandContext,
  dns?: Pick<Resolver, "txt">,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const { usable, others } = await keysOf(config.dkim.folder, readDomain(name));
  const resolver = dns ?? createResolver({ clock: systemClock, ...config.dns });
  const { out, err } = context.terminal;
  let good = others.length === 0;
  for (const key of others) err.write(`${plain(keyPath(config.dkim.folder, key))}: ${plain(key.reason)}\n`);
  for (const key of usable) {
    const answer = await resolver.txt(recordName(key));
    const words =
      answer.kind === "found"
        ? compareRecords(answer.values, key)
        : answer.kind === "none"
          ? "there is no record"
          : `DNS did not answer: ${answer.reason}`;
    good &&= words === null;
    const { domain, selector } = key;
    if (flags.json)
      out.write(
        `${JSON.stringify({ domain, selector, name: recordName(key), good: words === null, problem: words })}\n`,
      );
    else
      out.write(
        `${words === null ? out.paint("green", "good") : out.paint("red", "bad ")}  ${recordName(key)}${words === null ? "" : `  ${plain(words)}`}\n`,
      );
  }
  if (!good && !flags.json) err.write(`onarrival dkim show ${readDomain(name)} prints what is to be published.\n`);
  return good ? exitStatus.done : exitStatus.failed;
}

export async function removeOneKey(
  written: { readonly domain: string; readonly selector: string },
  flags: SettingsFlags & { readonly yes?: boolean },
  context: CommandContext,
  input: AnswerSource = process.stdin,
): Promise<ExitStatus> {
  const { folder } = loadSettings(flags, context).config.dkim;
  const key = { domain: readDomain(written.domain), selector: readSelector(written.selector) };
  const { usable, others } = await keysOf(folder, key.domain);
  if (![...usable, ...others].some(({ selector }) => selector === key.selector))
    throw new UsageError(`There is no key ${key.selector} of ${key.domain}`, "The keys there are: onarrival dkim list");
  if (!flags.yes && input.isTTY !== true)
    throw new UsageError(
      "Not removed: there is no terminal to ask on, and the key cannot be got back",
      "--yes removes it without asking",
    );
  if (!(await confirm(`Remove the key ${key.selector} of ${key.domain}`, flags, context, input)))
    return exitStatus.failed;
  await inFolder(folder, () => removeKey(folder, key));
  context.terminal.err.write(
    `Removed. Leave ${recordName(key)} in DNS until mail that was signed with it has arrived everywhere, a week or so.\n`,
  );
  return exitStatus.done;
}

/** What is wrong with the records of a key; null where nothing is. RFC 6376 §3.6.1. */
export function compareRecords(records: readonly string[], key: DkimKey): string | null {
  if (records.length > 1) return `there are ${records.length} records, expected one`;
  const tags = new Map(
    records[0]!.split(";").map((tag) => {
      const [name = "", ...value] = tag.split("=");
      return [name.trim(), value.join("=").replace(/\s+/g, "")] as const;
    }),
  );
  const wanted = /p=(.*)$/.exec(recordText(key))![1]!;
  const kind = key.algorithm === "rsa-sha256" ? "rsa" : "ed25519";
  if ((tags.get("v") ?? "DKIM1") !== "DKIM1") return "it begins with another version than v=DKIM1";
  if ((tags.get("k") ?? "rsa") !== kind) return `its kind of key is ${tags.get("k") ?? "rsa"}, expected k=${kind}`;
  if (!tags.get("p")) return "it says that the key is revoked (p= is empty)";
  if (tags.get("p") !== wanted) return "it has another key";
  return tags.get("t")?.split(":").includes("y") === true ? "it says that it is only a test (t=y)" : null;
}

function printKey(
  key: DkimKey,
  { folder, flags, context }: { readonly folder: string; readonly flags: JsonFlag; readonly context: CommandContext },
): void {
  const { out } = context.terminal;
  if (flags.json) {
    out.write(`${JSON.stringify(keyView(key, folder))}\n`);
    return;
  }
  const facts = [
    ["key", `${keyPath(folder, key)} (${kindOf(key)})`],
    ["name", recordName(key)],
    ["type", "TXT"],
    ["value", recordText(key)],
    ["zone file", `${recordName(key)}. IN TXT ( ${recordStrings(recordText(key))} )`],
  ];
  out.write(`${facts.map(([name, value]) => `${out.paint("dim", name!.padEnd(11))}${value}\n`).join("")}\n`);
}

function keyView(key: DkimKey | UnusableKey, folder: string) {
  const { domain, selector } = key;
  const place = { domain, selector, file: keyPath(folder, key) };
  return isUsable(key)
    ? { ...place, algorithm: key.algorithm, name: recordName(key), record: recordText(key) }
    : { ...place, problem: key.reason };
}

function kindOf({ privateKey }: DkimKey): string {
  return privateKey.asymmetricKeyType === "rsa"
    ? `RSA, ${privateKey.asymmetricKeyDetails?.modulusLength} bits`
    : "Ed25519";
}

/** @throws {UsageError} where there are none */
async function keysOf(folder: string, domain: string) {
  const keys = await inFolder(folder, () => readKeys(folder, domain));
  if (keys.length === 0)
    throw new UsageError(`There are no keys of ${domain} in ${folder}`, `onarrival dkim add ${domain} makes one`);
  return { usable: keys.filter(isUsable), others: keys.filter((key): key is UnusableKey => !isUsable(key)) };
}

function readDomain(text: string): string {
  const domain = normalizeDomain(text);
  if (domain === undefined || !domain.includes(".") || domain.startsWith("["))
    throw new UsageError(`Cannot read the domain ${JSON.stringify(text)}: expected a name such as example.org`);
  return domain;
}

function readSelector(text: string): string {
  const selector = normalizeSelector(text);
  if (selector === undefined)
    throw new UsageError(`Cannot read the selector ${JSON.stringify(text)}: expected letters, digits and hyphens`);
  return selector;
}

/** @throws {Fault} `data.unusable` */
async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Fault("data.unusable", `Cannot use the keys in ${folder}: ${describeThrown(error)}`, { cause: error });
  }
}
