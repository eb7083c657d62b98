/**
 * Users for tests of submission: ann@example.org (also ann.smith@example.org and all of lists.example.org), carl (no address of his own), bob@example.org who is
 * disabled, and dora@example.org who may send to two recipients an hour. The password of each is `correct horse`.
 */
import { argon2Sync } from "node:crypto";
import type { Binding } from "../../src/events/binding.ts";
import { parseRule } from "../../src/events/rule.ts";
import type { AnyHandler } from "../../src/events/sink.ts";
import type { Clock } from "../../src/platform/clock.ts";
import { submissionBindings } from "../../src/sinks/submission-bindings.ts";
import { type User, type Users, userKey } from "../../src/sinks/users-document.ts";
import { UsersFile } from "../../src/sinks/users-file.ts";
import { createBinding } from "./events.ts";
import { createRecordingLog } from "./recording-log.ts";

export const testPassword = "correct horse";

/** A hash that costs next to nothing. */
export function cheapHash(password: string): string {
  const nonce = Buffer.from("saltsaltsaltsalt");
  const tag = argon2Sync("argon2id", { message: password, nonce, parallelism: 1, tagLength: 16, memory: 8, passes: 1 });
  const text = (octets: Buffer) => octets.toString("base64").replaceAll("=", "");
  return `$argon2id$v=19$m=8,t=1,p=1$${text(nonce)}$${text(tag)}`;
}

export function createUser(name: string, facts: Partial<User> = {}): User {
  return { name, password: cheapHash(testPassword), addresses: [], enabled: true, rate: null, ...facts };
}

export const testUsers: Users = new Map(
  [
    createUser("ann@example.org", { addresses: ["ann.smith@example.org", "*@lists.example.org"] }),
    createUser("carl"),
    createUser("bob@example.org", { enabled: false }),
    createUser("dora@example.org", { rate: { times: 2, withinMs: 3_600_000 } }),
  ].map((user) => [userKey(user.name), user]),
);

class TestUsersFile extends UsersFile {
  override async find(name: string): Promise<User | undefined> {
    return this.known(name);
  }
  override known(name: string): User | undefined {
    return testUsers.get(userKey(name));
  }
}

/** The server's own sinks of submission, as it binds them, for a listener of that name. */
export function bindSubmission(listener: string, clock: Clock): Binding[] {
  const users = new TestUsersFile({ file: "/nowhere", clock, log: createRecordingLog() });
  const settings = () => ({ senderMustMatch: true, rate: null });
  return submissionBindings({ users, clock, listeners: [listener], settings }).flatMap(({ sink, events, rule }) =>
    events.map((event) =>
      createBinding(event, sink[event] as AnyHandler, {
        id: `server/${sink.name}#${event}`,
        source: "server",
        rule: parseRule(rule, event),
      }),
    ),
  );
}
