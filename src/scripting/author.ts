/** Whose a file is, by name: who saved a script, as far as the file system knows. */
import { readFile, stat } from "node:fs/promises";
import { userInfo } from "node:os";

/** null where it cannot be found out. */
export async function ownerOf(file: string): Promise<string | null> {
  try {
    const { uid } = await stat(file);
    const self = userInfo();
    return uid === self.uid ? self.username : ((await nameOf(uid)) ?? `uid ${uid}`);
  } catch {
    return null;
  }
}

/** passwd(5): name, password, number of the user. */
async function nameOf(uid: number): Promise<string | undefined> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  const line = text.split("\n").find((one) => one.split(":")[2] === String(uid));
  return line?.split(":")[0];
}
