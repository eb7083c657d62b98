/** Files and folders the configuration names, as the composition root needs them: there, and usable, or one clear fault. */
import { access, constants, lstat, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { LoadedConfig } from "./config/load.ts";
import type { CertificateConfig, Config, ListenerConfig } from "./config/schema.ts";
import { type Binding, priorityDefault } from "./events/binding.ts";
import { compileNetworks } from "./events/network.ts";
import type { Certificate, ListenerOptions } from "./inbound/listener.ts";
import type { Smarthost } from "./outbound/next-hop.ts";
import { makeFolderDurably } from "./platform/durable-folder.ts";
import { describeThrown, Fault } from "./platform/fault.ts";
import { serverBindings } from "./sinks/load-sinks.ts";
import { loopGuard } from "./sinks/loop-guard.ts";
import { type RelayControlOptions, relayControl } from "./sinks/relay-control.ts";

/** @throws {Fault} `data.unusable` */
export async function prepareFolders({ data, delivery, scripts }: Config): Promise<void> {
  for (const folder of [data, delivery.maildir, join(data, "badmail")]) {
    try {
      await makeFolderDurably(folder);
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "it cannot be made" : describeFileError(error);
      throw new Fault("data.unusable", `Cannot use the folder ${folder}: ${why}`, { cause: error });
    }
  }
  await checkScriptsFolder({ scripts });
}

/** @throws {Fault} `data.unusable` where the folder is not there, or is a link */
export async function checkScriptsFolder({ scripts }: Pick<Config, "scripts">): Promise<void> {
  const found = await lstat(scripts.folder).catch((error: unknown) => {
    throw new Fault(
      "data.unusable",
      `Cannot use the scripts folder ${scripts.folder}: ${describeFileError(error)}; make it, or name another with scripts.folder`,
      { cause: error },
    );
  });
  // Who can turn the link can put other scripts in the place of these.
  if (found.isSymbolicLink()) {
    throw new Fault(
      "data.unusable",
      `Cannot use the scripts folder ${scripts.folder}: it is a symbolic link; name the folder it leads to with scripts.folder`,
    );
  }
  if (!found.isDirectory())
    throw new Fault("data.unusable", `Cannot use the scripts folder ${scripts.folder}: it is not a folder`);
}

/** The server's own handling, in its place among the sinks. */
export function ownBindings(domains: RelayControlOptions): Binding[] {
  return serverBindings(
    [
      { sink: relayControl(domains), events: ["onRcptTo"] },
      { sink: loopGuard(), events: ["onArrival"] },
    ],
    priorityDefault,
  );
}

/** Where relative paths of the site begin: the folder of its configuration, or where the command was called. */
export function siteFolder({ file }: Pick<LoadedConfig, "file">): string {
  return file === null ? process.cwd() : dirname(file);
}

/** A listener as the configuration has it, with the files it names. @throws {Fault} `config.unreadable` */
export async function readListener(
  { tls, trusted, engine: _engine, ...listener }: ListenerConfig,
  hostname: string,
): Promise<ListenerOptions> {
  const option = `tls of listener ${listener.name}`;
  return {
    ...listener,
    hostname,
    trusted: {
      proxy: compileNetworks(trusted.proxy),
      xclient: compileNetworks(trusted.xclient),
      xforward: compileNetworks(trusted.xforward),
    },
    ...(tls && {
      tls: {
        mode: tls.mode,
        askCertificate: tls.askCertificate,
        ...(await readCertificate(tls, option)),
        more: await Promise.all(tls.more.map((one) => readCertificate(one, option))),
      },
    }),
  };
}

/** All of them. @throws {Fault} `config.unreadable` */
export async function readListeners({ listeners, hostname }: Config): Promise<readonly ListenerOptions[]> {
  return await Promise.all(listeners.map((listener) => readListener(listener, hostname)));
}

async function readCertificate({ cert, key }: CertificateConfig, option: string): Promise<Certificate> {
  return { cert: await readNamedFile(cert, `cert, ${option}`), key: await readNamedFile(key, `key, ${option}`) };
}

/** @throws {Fault} `config.unreadable` */
export async function readSmarthost({ delivery }: Config): Promise<Smarthost | null> {
  if (!delivery.smarthost) return null;
  const { passwordFile, user, ...smarthost } = delivery.smarthost;
  if (user === undefined || passwordFile === undefined) return smarthost;
  const text = (await readNamedFile(passwordFile, "delivery.smarthost.password_file")).toString("utf8");
  const [password = ""] = text.split(/\r?\n/);
  if (password === "")
    throw new Fault(
      "config.unreadable",
      `Cannot use ${passwordFile} (delivery.smarthost.password_file): its first line is empty`,
    );
  return { ...smarthost, user, password };
}

/** @throws {Fault} `config.unreadable` */
async function readNamedFile(path: string, option: string): Promise<Buffer> {
  return await readFile(path).catch((error: unknown) => {
    throw new Fault("config.unreadable", `Cannot read ${path} (${option}): ${describeFileError(error)}`, {
      cause: error,
    });
  });
}

function describeFileError(error: unknown): string {
  switch ((error as NodeJS.ErrnoException | null)?.code) {
    case "ENOENT":
      return "it is not there";
    case "EACCES":
    case "EPERM":
      return "this user may not";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
      return "the disk is full";
    case "ENOTDIR":
      return "something in its path is not a folder";
    case "EEXIST":
      return "something that is not a folder has its name";
    default:
      return describeThrown(error);
  }
}
