/** Files and folders the configuration names, as the composition root needs them: there, and usable, or one clear fault. */
import { access, constants, lstat, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { LoadedConfig } from "./config/load.ts";
import type { Config, ListenerConfig } from "./config/schema.ts";
import { compileNetworks } from "./events/network.ts";
import { Certificates } from "./inbound/certificates.ts";
import type { ListenerOptions } from "./inbound/listener.ts";
import type { Smarthost } from "./outbound/next-hop.ts";
import type { Clock } from "./platform/clock.ts";
import { makeFolderDurably } from "./platform/durable-folder.ts";
import { Fault } from "./platform/fault.ts";
import { describeFileError } from "./platform/file-error.ts";
import type { Log } from "./platform/log.ts";

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

/** Where relative paths of the site begin: the folder of its configuration, or where the command was called. */
export function siteFolder({ file }: Pick<LoadedConfig, "file">): string {
  return file === null ? process.cwd() : dirname(file);
}

/** Listeners with the certificates that are renewed under them. */
export interface ReadListeners {
  /** In the order of the configuration. */
  readonly options: readonly ListenerOptions[];
  /** Looks for renewed certificates now. */
  reload(): Promise<void>;
  close(): void;
}

/** All of them. @throws {Fault} `config.unreadable` */
export async function readListeners(
  { listeners, hostname }: Pick<Config, "listeners" | "hostname">,
  ports: { readonly clock: Clock; readonly log: Log },
): Promise<ReadListeners> {
  const opened: Certificates[] = [];
  const close = () => {
    for (const certificates of opened) certificates.close();
  };
  try {
    const options: ListenerOptions[] = [];
    for (const listener of listeners) options.push(await readListener(listener, hostname, { ...ports, opened }));
    return {
      options,
      async reload() {
        await Promise.all(opened.map((certificates) => certificates.reload()));
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

async function readListener(
  { tls, trusted, engine: _engine, ...listener }: ListenerConfig,
  hostname: string,
  { clock, log, opened }: { readonly clock: Clock; readonly log: Log; readonly opened: Certificates[] },
): Promise<ListenerOptions> {
  const certificates =
    tls && (await Certificates.open({ files: [tls, ...tls.more], listener: listener.name, clock, log }));
  if (certificates) opened.push(certificates);
  return {
    ...listener,
    hostname,
    trusted: {
      proxy: compileNetworks(trusted.proxy),
      xclient: compileNetworks(trusted.xclient),
      xforward: compileNetworks(trusted.xforward),
      results: compileNetworks(trusted.results),
    },
    ...(tls &&
      certificates && {
        tls: {
          mode: tls.mode,
          askCertificate: tls.askCertificate,
          ...certificates.present,
          renewals: certificates,
        },
      }),
  };
}

/** @throws {Fault} `config.unreadable` */
export async function readSmarthost({ delivery }: Config): Promise<Smarthost | null> {
  if (!delivery.smarthost) return null;
  const { passwordFile, user, ...smarthost } = delivery.smarthost;
  if (user === undefined || passwordFile === undefined) return smarthost;
  return { ...smarthost, user, password: await readFirstLine(passwordFile, "delivery.smarthost.password_file") };
}

/** A secret: the first line of a file. @throws {Fault} `config.unreadable` */
export async function readFirstLine(path: string, option: string): Promise<string> {
  const [line = ""] = (await readNamedFile(path, option)).toString("utf8").split(/\r?\n/);
  if (line === "") throw new Fault("config.unreadable", `Cannot use ${path} (${option}): its first line is empty`);
  return line;
}

/** @throws {Fault} `config.unreadable` */
async function readNamedFile(path: string, option: string): Promise<Buffer> {
  return await readFile(path).catch((error: unknown) => {
    throw new Fault("config.unreadable", `Cannot read ${path} (${option}): ${describeFileError(error)}`, {
      cause: error,
    });
  });
}
