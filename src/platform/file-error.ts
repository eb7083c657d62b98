/** What the file system said, in words for whoever named the file. */
import { describeThrown } from "./fault.ts";

/** A clause: `it is not there`. */
export function describeFileError(error: unknown): string {
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
