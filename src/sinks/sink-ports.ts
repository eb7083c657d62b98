/** What the server lends to the sinks that come with it. Sinks of the user's own get their properties and nothing else. */
import { isAbsolute, resolve } from "node:path";
import type { Clock } from "../platform/clock.ts";
import type { Log } from "../platform/log.ts";
import type { Resolver } from "../platform/resolver.ts";

export interface SinkPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly resolver: Resolver;
  /** Absolute path of the folder for what sinks keep over a restart; whoever needs it makes it. null: keep nothing, this only rehearses. */
  readonly folder: string | null;
  /** Absolute path that relative paths in properties start from: the configuration's folder. */
  readonly configFolder: string;
}

/** A path as a property names it, made absolute. */
export function pathIn({ configFolder }: SinkPorts, path: string): string {
  return isAbsolute(path) ? path : resolve(configFolder, path);
}
