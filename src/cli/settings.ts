/** The configuration a command works with: the flags every command takes for it, and the load. */
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { UsageError } from "./failure.ts";
import type { CommandContext } from "./terminal.ts";

/** Flags of any command that needs the configuration; keys as commander gives them. */
export interface SettingsFlags {
  readonly config?: string;
  readonly data?: string;
  readonly scripts?: string;
  readonly smtpPort?: string;
  readonly adminPort?: string;
  readonly logLevel?: string;
  /** `KEY=VALUE`, any option. */
  readonly set?: readonly string[];
}

/** @throws {Fault} `config.invalid`, `config.unreadable`; {UsageError} */
export function loadSettings(flags: SettingsFlags, { terminal, env, cwd }: CommandContext): LoadedConfig {
  const loaded = loadConfig({ path: flags.config, flags: flagsByKey(flags), env, cwd });
  for (const warning of loaded.warnings) terminal.err.write(`${terminal.err.paint("yellow", "warning:")} ${warning}\n`);
  return loaded;
}

/** The flags as dotted keys of the configuration. @throws {UsageError} */
function flagsByKey({ data, scripts, smtpPort, adminPort, logLevel, set = [] }: SettingsFlags): Record<string, string> {
  const named = {
    data,
    "scripts.folder": scripts,
    "listeners.0.port": smtpPort,
    "admin.port": adminPort,
    "log.level": logLevel,
  };
  const byKey: Record<string, string> = {};
  for (const [key, text] of Object.entries(named)) if (text !== undefined) byKey[key] = text;
  for (const pair of set) {
    const equals = pair.indexOf("=");
    if (equals < 1)
      throw new UsageError(
        `Cannot set ${JSON.stringify(pair)}: expected KEY=VALUE`,
        "The keys: onarrival config show --origin",
      );
    byKey[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return byKey;
}
