/** How a command ends that stands in for sendmail, by what became of the message or what went wrong. */
import type { SubmitResult } from "../admin/submit-control.ts";
import { problemsOf } from "../config/problem.ts";
import { Fault } from "../platform/fault.ts";
import { UsageError } from "./failure.ts";
import { type SysExit, sysExit } from "./sendmail-status.ts";

export function exitOfResult(result: SubmitResult): SysExit {
  switch (result.kind) {
    case "deferred":
      return sysExit.temporary;
    case "refused":
      // RFC 3463 §3.2: the mailbox. §3.7: what was written.
      return /^5\.1\.[1236]$/.test(result.reply.status ?? "")
        ? sysExit.noUser
        : /^5\.6\./.test(result.reply.status ?? "")
          ? sysExit.data
          : sysExit.unavailable;
    default:
      return sysExit.done;
  }
}

export function exitOfThrown(thrown: unknown): SysExit {
  if (thrown instanceof UsageError) return sysExit.usage;
  if (problemsOf(thrown).length > 0) return sysExit.config;
  if (!(thrown instanceof Fault)) return sysExit.software;
  switch (thrown.code) {
    case "config.invalid":
    case "config.unreadable":
      return sysExit.config;
    case "address.syntax":
    case "address.too-long":
    case "header.field-value":
    case "path.syntax":
    case "path.too-long":
    case "message.too-large":
    case "submission.malformed":
      return sysExit.data;
    case "control.refused":
      // Neither the server's socket nor its pickup folder may be used by this user: later will not be better.
      if (/^(EACCES|EPERM|EROFS)$/.test(String((thrown.cause as NodeJS.ErrnoException | undefined)?.code)))
        return sysExit.noPermission;
      return thrown.facts.status === 400 ? sysExit.data : sysExit.temporary;
    default:
      return sysExit.temporary;
  }
}
