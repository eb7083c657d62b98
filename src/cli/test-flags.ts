/** What `onarrival test` is told. */
import type { SettingsFlags } from "./settings.ts";
import type { CommandContext } from "./terminal.ts";
import type { SessionFlags } from "./test-session.ts";

export interface TestFlags extends SettingsFlags, SessionFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly expect?: string;
  readonly update?: boolean;
  readonly output?: string;
  readonly pipeline?: boolean;
  /** File of what the script hears from outside. */
  readonly answers?: string;
  /** Folder for a record of each run. */
  readonly record?: string;
}

/** What is tested. */
export interface TestInputs {
  readonly context: CommandContext;
  /** undefined: the whole list. */
  readonly script: string | undefined;
  readonly mail: readonly string[];
  readonly stdin: () => Promise<Buffer>;
}
