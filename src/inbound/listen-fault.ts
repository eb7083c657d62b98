/** Why a port could not be had, in words an operator can act on. */
import { describeThrown, Fault } from "../platform/fault.ts";
import type { ListenerOptions } from "./listener.ts";

export function listenFault({ name, address, port }: ListenerOptions, error: NodeJS.ErrnoException): Fault {
  const why =
    error.code === "EADDRINUSE"
      ? "another program uses this port"
      : error.code === "EACCES"
        ? "this user may not use this port"
        : error.code === "EADDRNOTAVAIL"
          ? "this machine has no such address"
          : describeThrown(error);
  return new Fault("listen.failed", `Cannot listen on ${address}:${port} (listener ${name}): ${why}`, { cause: error });
}
