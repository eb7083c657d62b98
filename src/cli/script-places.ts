/** What a script's file and version are to the command line: the folder it may import from, and the short form of a version. Light: whatever is first on a terminal waits for it. */
import { dirname, relative } from "node:path";

/** Folder a script's imports may not leave: the configured one where the script is in it, else the script's own. */
export function rootOf(path: string, folder: string): string {
  const below = relative(folder, path);
  return below !== "" && !below.startsWith("..") && !below.startsWith("/") ? folder : dirname(path);
}

/** `sha256:` and seven digits, enough to tell versions apart. */
export function shortVersion(version: string | null): string {
  return version === null ? "-" : version.replace(/^sha256:(.{7}).*$/, "$1");
}
