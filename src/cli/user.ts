/** `onarrival user …`: who may log in to submission listeners. Works on the file of users, whether the server runs or not; a running one reads it again by itself. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Fault } from "../platform/fault.ts";
import { hashPassword, PasswordChecks } from "../platform/password.ts";
import { formatDuration, type Rate } from "../platform/value.ts";
import {
  checkUserAddress,
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

/** @throws {Fault} `user.invalid`, `user.exists`, `users.unreadable`; {UsageError} */
export async function addUser(
  name: string,
  flags: PasswordFlags & { readonly address?: readonly string[]; readonly rate?: string },
  context: CommandContext,
  source: PasswordSource = processPasswords,
): Promise<ExitStatus> {
  const { config } = loadSettings(flags, context);
  const file = config.auth.users;
  const checkedName = checkUserName(name);
  const addresses = (flags.address ?? []).map(checkUserAddress);
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
  if (addresses.length === 0 && !checkedName.includes("@") && config.auth.senderMustMatch)
    err.write(`He has no address to send from yet: his name is none, and --address gave none.\n`);
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
    const rows = users.map(({ name, addresses, enabled, rate }) => [
      plain(name),
      enabled ? "yes" : "no",
      rate ? formatRate(rate) : config.auth.rate ? `${formatRate(config.auth.rate)} (auth.rate)` : "-",
      plain(addresses.join(" ")) || "-",
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

async function changeUser(file: string, name: string, change: (user: User) => User): Promise<void> {
  await changeUsers(file, (users) => {
    const user = knownUser(users, name);
    return new Map([...users].map(([key, one]) => [key, one === user ? change(one) : one]));
  });
}

function knownUser(users: Users, name: string): User {
  const user = users.get(userKey(name));
  if (!user) throw new Fault("user.unknown", `There is no user ${JSON.stringify(name)}`);
  return user;
}

function refuseKnown(users: Users, name: string): void {
  if (users.has(userKey(name))) throw new Fault("user.exists", `There is a user ${JSON.stringify(name)} already`);
}

function formatRate({ times, withinMs }: Rate): string {
  return `${times}/${formatDuration(withinMs)}`;
}
