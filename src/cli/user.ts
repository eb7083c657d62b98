/** `onarrival user …`: who may log in to submission listeners. Works on the file of users, whether the server runs or not; a running one reads it again by itself. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { Fault } from "../platform/fault.ts";
import { hashPassword, PasswordChecks } from "../platform/password.ts";
import { formatDuration, type Rate } from "../platform/value.ts";
import {
  checkUserAddresses,
  checkUserName,
  checkUserRate,
  type User,
  type Users,
  userKey,
} from "../sinks/users-document.ts";
import { changeUsers, readUsers } from "../sinks/users-file.ts";
import { type ExitStatus, exitStatus } from "./exit-status.ts";
import { UsageError } from "./failure.ts";
import { loadSettings, type SettingsFlags } from "./settings.ts";
import { formatTable } from "./table.ts";
import { type CommandContext, plain } from "./terminal.ts";
import { type PasswordSource, processPasswords, readNewPassword, readPassword } from "./user-password.ts";

interface PasswordFlags extends SettingsFlags {
  readonly passwordStdin?: boolean;
}

interface UserFlags extends SettingsFlags {
  readonly address?: readonly string[];
  readonly rate?: string;
}

/** In the place of addresses or a rate: what there is without them. */
const none = "none";

/** @throws {Fault} `user.invalid`, `user.exists`, `users.unreadable`; {UsageError} */
export async function addUser(
  name: string,
  flags: PasswordFlags & UserFlags,
  context: CommandContext,
  source: PasswordSource = processPasswords,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const file = config.auth.users;
  const checkedName = checkUserName(name);
  const addresses = checkUserAddresses(flags.address ?? []);
  const rate = flags.rate === undefined ? null : checkUserRate(flags.rate);
  // Before the password is asked for: nobody types one for nothing.
  refuseKnown(await readUsers(file), checkedName);
  const password = await hashPassword(await readNewPassword(flags.passwordStdin === true, source));
  await mkdir(dirname(file), { recursive: true });
  await changeUsers(file, (users) => {
    refuseKnown(users, checkedName);
    return new Map([...users, [userKey(checkedName), { name: checkedName, password, addresses, enabled: true, rate }]]);
  });
  const { out, err } = context.terminal;
  out.write(`${checkedName} may log in.\n`);
  warnWithoutAddress({ name: checkedName, addresses }, config, context);
  if (!config.listeners.some(({ role }) => role === "submission"))
    err.write("No listener has the role submission yet, so there is nowhere to log in; docs/submission.md has one.\n");
  return exitStatus.done;
}

/** @throws {Fault} `user.unknown`, `users.unreadable`; {UsageError} */
export async function setUserPassword(
  name: string,
  flags: PasswordFlags,
  context: CommandContext,
  source: PasswordSource = processPasswords,
): Promise<ExitStatus> {
  const file = loadSettings(flags, context).config.auth.users;
  knownUser(await readUsers(file), name);
  const password = await hashPassword(await readNewPassword(flags.passwordStdin === true, source));
  await changeUser(file, name, (user) => ({ ...user, password }));
  context.terminal.out.write(`${plain(name)} has another password.\n`);
  return exitStatus.done;
}

/**
 * Other addresses, in the place of all he had, or another rate; `none` takes back what was given. What is not said stays.
 * @throws {Fault} `user.unknown`, `user.invalid`, `users.unreadable`; {UsageError}
 */
export async function setUser(name: string, flags: UserFlags, context: CommandContext): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  if (flags.address === undefined && flags.rate === undefined)
    throw new UsageError("Cannot change a user: neither --address nor --rate says what of him");
  const isNone = flags.address?.length === 1 && flags.address[0] === none;
  const addresses = isNone ? [] : flags.address && checkUserAddresses(flags.address);
  const rate = flags.rate === none ? null : flags.rate === undefined ? undefined : checkUserRate(flags.rate);
  const user = await changeUser(config.auth.users, name, (before) => ({
    ...before,
    ...(addresses !== undefined && { addresses }),
    ...(rate !== undefined && { rate }),
  }));
  const shown = `addresses ${shownAddresses(user)}, rate ${shownRate(user, config)}`;
  context.terminal.out.write(`${plain(user.name)}: ${shown}.\n`);
  warnWithoutAddress(user, config, context);
  return exitStatus.done;
}

/** @throws {Fault} `user.unknown`, `users.unreadable` */
export async function enableUser(
  name: string,
  enabled: boolean,
  flags: SettingsFlags,
  context: CommandContext,
): Promise<ExitStatus> {
  await changeUser(loadSettings(flags, context).config.auth.users, name, (user) => ({ ...user, enabled }));
  context.terminal.out.write(`${plain(name)} ${enabled ? "may log in again" : "may not log in any more"}.\n`);
  return exitStatus.done;
}

/** @throws {Fault} `user.unknown`, `users.unreadable` */
export async function removeUser(name: string, flags: SettingsFlags, context: CommandContext): Promise<ExitStatus> {
  await changeUsers(loadSettings(flags, context).config.auth.users, (users) => {
    knownUser(users, name);
    return new Map([...users].filter(([key]) => key !== userKey(name)));
  });
  context.terminal.out.write(`${plain(name)} is removed.\n`);
  return exitStatus.done;
}

/** Passwords are never shown, nor what they were hashed to. @throws {Fault} `users.unreadable` */
export async function listUsers(
  flags: SettingsFlags & { readonly json?: boolean },
  context: CommandContext,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const users = [...(await readUsers(config.auth.users)).values()];
  const { out, err } = context.terminal;
  if (flags.json) {
    for (const { name, addresses, enabled, rate } of users)
      out.write(`${JSON.stringify({ name, addresses, enabled, rate: rate && formatRate(rate) })}\n`);
  } else if (users.length === 0) err.write("There are no users: onarrival user add NAME\n");
  else {
    const rows = users.map((user) => [
      plain(user.name),
      user.enabled ? "yes" : "no",
      shownRate(user, config),
      shownAddresses(user),
    ]);
    out.write(formatTable(["NAME", "ENABLED", "RATE", "ADDRESSES"], rows, out));
  }
  return exitStatus.done;
}

/** Whether the password is his, as a login would find. @throws {Fault} `user.unknown`, `users.unreadable`; {UsageError} */
export async function checkUser(
  name: string,
  flags: PasswordFlags,
  context: CommandContext,
  source: PasswordSource = processPasswords,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const user = knownUser(await readUsers(config.auth.users), name);
  const password = await readPassword(flags.passwordStdin === true, source);
  if (password === "") throw new UsageError("Cannot check a password that is empty");
  const matches = (await new PasswordChecks().check(password, user.password)) === true;
  const { out, err } = context.terminal;
  if (matches && user.enabled) {
    out.write("The password is right.\n");
    return exitStatus.done;
  }
  err.write(matches ? `The password is right, but ${plain(user.name)} is disabled.\n` : "The password is wrong.\n");
  return exitStatus.failed;
}

/** The user as he is now. */
async function changeUser(file: string, name: string, change: (user: User) => User): Promise<User> {
  let changed: User | undefined;
  await changeUsers(file, (users) => {
    const user = knownUser(users, name);
    const next = change(user);
    changed = next;
    return new Map([...users].map(([key, one]) => [key, one === user ? next : one]));
  });
  return changed!;
}

function knownUser(users: Users, name: string): User {
  const user = users.get(userKey(name));
  if (!user) throw new Fault("user.unknown", `There is no user ${JSON.stringify(name)}`);
  return user;
}

function refuseKnown(users: Users, name: string): void {
  if (users.has(userKey(name))) throw new Fault("user.exists", `There is a user ${JSON.stringify(name)} already`);
}

function warnWithoutAddress(
  { name, addresses }: Pick<User, "name" | "addresses">,
  { auth }: Pick<Config, "auth">,
  { terminal }: CommandContext,
): void {
  if (addresses.length === 0 && !name.includes("@") && auth.senderMustMatch)
    terminal.err.write("He has no address to send from yet: his name is none, and --address gave none.\n");
}

function shownAddresses({ addresses }: User): string {
  return plain(addresses.join(" ")) || "-";
}

function shownRate({ rate }: User, { auth }: Pick<Config, "auth">): string {
  return rate ? formatRate(rate) : auth.rate ? `${formatRate(auth.rate)} (auth.rate)` : "-";
}

function formatRate({ times, withinMs }: Rate): string {
  return `${times}/${formatDuration(withinMs)}`;
}
