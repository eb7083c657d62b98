/** Keys in a folder that is gone afterwards, and a verifier other than the signer: mailauth, and dkimpy where it is installed. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLog } from "../../../src/platform/log.ts";
import { createKey, type DkimKey, DkimKeys, recordName, recordText } from "../../../src/sinks/dkim-keys.ts";

export interface KeyFolder {
  readonly folder: string;
  readonly keys: DkimKeys;
  add(domain: string, selector: string, type?: "rsa" | "ed25519"): Promise<DkimKey>;
  remove(): void;
}

export function createKeyFolder(): KeyFolder {
  const folder = mkdtempSync(join(tmpdir(), "onarrival-dkim-"));
  return {
    folder,
    keys: new DkimKeys({ folder, clock: systemClock, log: silentLog }),
    add: (domain, selector, type = "rsa") => createKey(folder, { domain, selector, type, bits: 1_024 }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const recordsOf = (keys: readonly DkimKey[]) => new Map(keys.map((key) => [recordName(key), recordText(key)]));

/** Each signature's result, from the top: `pass`, `fail`, `neutral`. */
export async function verifyWithMailauth(octets: Buffer, keys: readonly DkimKey[]): Promise<string[]> {
  const records = recordsOf(keys);
  const { results } = await dkimVerify(octets, {
    strict: true,
    resolver: async (name: string) => {
      const text = records.get(name);
      if (text === undefined) throw Object.assign(new Error(name), { code: "ENOTFOUND" });
      return [[text]];
    },
  } as unknown as Parameters<typeof dkimVerify>[1]);
  return results.map(({ status }) => status.result);
}

const program = `
import sys, json, dkim
given = json.load(sys.stdin)
message = given["message"].encode("latin1")
records = given["records"]
def look(name, timeout=5):
    text = records.get(name.decode().rstrip("."))
    return text.encode() if text else None
one = dkim.DKIM(message)
print(json.dumps([one.verify(index, dnsfunc=look) for index in range(given["count"])]))
`;

/** Whether each signature is good by dkimpy (Debian: python3-dkim, and python3-nacl for Ed25519); null where that is not installed. */
export function verifyWithDkimpy(octets: Buffer, keys: readonly DkimKey[], count: number): readonly boolean[] | null {
  const input = JSON.stringify({
    message: octets.toString("latin1"),
    records: Object.fromEntries(recordsOf(keys)),
    count,
  });
  const { status, stdout, stderr } = spawnSync("python3", ["-c", program], { input, encoding: "utf8" });
  if (status === 0) return JSON.parse(stdout);
  if (/No module named|ENOENT/.test(stderr ?? "") || status === null) return null;
  throw new Error(stderr);
}
