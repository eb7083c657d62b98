/**
 * Certificates of a listener from PEM files, and again when they are renewed: new handshakes get the new ones, sessions go on with what they have. What cannot be
 * used leaves the former ones in their place.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Clock } from "../platform/clock.ts";
import { describeThrown, Fault } from "../platform/fault.ts";
import { describeFileError } from "../platform/file-error.ts";
import type { Log } from "../platform/log.ts";
import type { Certificate, CertificateSet, Renewals } from "./listener.ts";

/** Absolute paths of PEM files; links are followed, as programs that renew certificates turn them. */
export interface CertificateFile {
  readonly cert: string;
  readonly key: string;
}

/** How often files are looked at. */
export const lookEveryMs = 60_000;
/** How often it is looked at when certificates end. */
const warnEveryMs = 86_400_000;
/** A certificate that ends within so long is worth a line in the log. */
export const warnBeforeMs = 14 * 86_400_000;

export interface CertificatesOptions {
  /** The listener's own first. */
  readonly files: readonly [CertificateFile, ...CertificateFile[]];
  /** Name of the listener. */
  readonly listener: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** One certificate with its key, as it is used and as its files were seen. */
interface Watched {
  readonly file: CertificateFile;
  present: Certificate;
  /** What `stat` said of the files that are in use, or that could not be used. */
  seen: string;
  /** What was seen last could not be used, and nobody was told yet. */
  unsaid: boolean;
}

export class Certificates implements Renewals {
  readonly #options: CertificatesOptions;
  readonly #watched: readonly Watched[];
  readonly #takers: ((next: CertificateSet) => void)[] = [];
  #warnedAt: number;
  #stopped = false;
  #cancel: (() => void) | undefined;

  private constructor(options: CertificatesOptions, watched: readonly Watched[]) {
    this.#options = options;
    this.#watched = watched;
    this.#warnedAt = options.clock.now();
    this.#warnOfEnds();
    this.#plan();
  }

  /** Reads the files, and looks at them every minute from then on. @throws {Fault} `config.unreadable` where one cannot be used */
  static async open(options: CertificatesOptions): Promise<Certificates> {
    const watched = options.files.map(async (file) => {
      const seen = await describeFile(file);
      return { file, present: await readPair(file), seen, unsaid: false };
    });
    return new Certificates(options, await Promise.all(watched));
  }

  get present(): CertificateSet {
    const [own, ...more] = this.#watched.map(({ present }) => present);
    return { ...own!, more };
  }

  onRenewed(take: (next: CertificateSet) => void): void {
    this.#takers.push(take);
  }

  /** Looks at the files now, as a reload does. Never rejects: what cannot be used is a line in the log. */
  async reload(): Promise<void> {
    await this.#look(true);
  }

  close(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #plan(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(lookEveryMs, () => void this.#look(false).finally(() => this.#plan()));
  }

  async #look(isReload: boolean): Promise<void> {
    const { listener, clock, log } = this.#options;
    const renewed: string[] = [];
    // One that cannot be used keeps no other from being renewed.
    for (const one of this.#watched) if (await this.#renew(one, isReload)) renewed.push(factsOf(one.present.cert).name);
    if (renewed.length > 0) {
      for (const take of this.#takers) take(this.present);
      log.info("tls.renewed", { listener, certificates: renewed });
    }
    if (clock.now() - this.#warnedAt >= warnEveryMs) {
      this.#warnedAt = clock.now();
      this.#warnOfEnds();
    }
  }

  /** Whether there is another certificate now. */
  async #renew(one: Watched, isReload: boolean): Promise<boolean> {
    const seen = await describeFile(one.file);
    // Whoever renews writes two files, which do not fit together in between: only what stays so for two looks is said to be wrong.
    const isSettled = isReload || seen === one.seen;
    if (isSettled && !isReload && !one.unsaid) return false;
    one.seen = seen;
    try {
      const next = await readPair(one.file);
      one.unsaid = false;
      if (next.cert.equals(one.present.cert) && next.key.equals(one.present.key)) return false;
      const { endsAt } = factsOf(next.cert);
      if (endsAt <= this.#options.clock.now())
        throw new Fault(
          "config.unreadable",
          `Cannot use ${one.file.cert}: it ended at ${new Date(endsAt).toISOString()}`,
        );
      one.present = next;
      return true;
    } catch (error) {
      one.unsaid = !isSettled;
      if (isSettled)
        this.#options.log.error("tls.not-renewed", { listener: this.#options.listener, reason: describeThrown(error) });
      return false;
    }
  }

  #warnOfEnds(): void {
    const { clock, log, listener } = this.#options;
    const now = clock.now();
    for (const { present } of this.#watched) {
      const { name, endsAt } = factsOf(present.cert);
      if (endsAt - now > warnBeforeMs) continue;
      const fields = { listener, certificate: name, endsAt: new Date(endsAt).toISOString() };
      if (endsAt <= now) log.error("tls.expired", fields);
      else log.warn("tls.expires-soon", { ...fields, days: Math.floor((endsAt - now) / 86_400_000) });
    }
  }
}

/** A certificate and the key that is its own. @throws {Fault} `config.unreadable` */
async function readPair({ cert, key }: CertificateFile): Promise<Certificate> {
  const pair = { cert: await readPem(cert, "certificate"), key: await readPem(key, "key") };
  const certificate = attempt(`Cannot use the certificate ${cert}`, () => new X509Certificate(pair.cert));
  const privateKey = attempt(`Cannot use the key ${key}`, () => createPrivateKey(pair.key));
  if (!certificate.checkPrivateKey(privateKey))
    throw new Fault("config.unreadable", `Cannot use ${cert} with ${key}: the key is that of another certificate`);
  attempt(`Cannot use ${cert} with ${key}`, () => createSecureContext({ ...pair, minVersion: "TLSv1.2" }));
  return pair;
}

async function readPem(path: string, what: string): Promise<Buffer> {
  return await readFile(path).catch((error: unknown) => {
    throw new Fault("config.unreadable", `Cannot read the ${what} ${path}: ${describeFileError(error)}`, {
      cause: error,
    });
  });
}

function attempt<T>(words: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Fault("config.unreadable", `${words}: ${describeThrown(error)}`, { cause: error });
  }
}

/** Another text where a file is another one, was written to, or is not there. */
async function describeFile({ cert, key }: CertificateFile): Promise<string> {
  const texts = await Promise.all(
    [cert, key].map(async (path) => {
      const found = await stat(path).catch(() => undefined);
      return found ? `${found.dev}:${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}` : "absent";
    }),
  );
  return texts.join("\n");
}

/** Name and end of the first certificate in a file. */
function factsOf(cert: Buffer): { readonly name: string; readonly endsAt: number } {
  const { subject, subjectAltName, validTo } = new X509Certificate(cert);
  return { name: (subjectAltName ?? subject ?? "").replaceAll("\n", ", ").slice(0, 200), endsAt: Date.parse(validTo) };
}
