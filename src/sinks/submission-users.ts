/**
 * Lets the users of `users.json` log in on submission listeners: PLAIN and LOGIN. Who is no user, who is disabled and who has the wrong password hear the same,
 * after the same time. RFC 4954 §6, §9.
 */
import type { Sink } from "../events/sink.ts";
import type { Session } from "../events/subject.ts";
import { defer, proceed, type Verdict } from "../events/verdict.ts";
import type { Clock } from "../platform/clock.ts";
import type { PasswordChecks } from "../platform/password.ts";
import { Lockout } from "./submission-lockout.ts";
import { userKey } from "./users-document.ts";
import type { UsersFile } from "./users-file.ts";

export interface UsersOptions {
  readonly users: Pick<UsersFile, "find" | "usualHash">;
  readonly passwords: Pick<PasswordChecks, "check">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly accepted: AcceptedUsers;
}

/** Who logged in by the file, under which name, in the sessions there are. */
export type AcceptedUsers = WeakMap<Session, string>;

const tooOften = defer("Too many failed logins, please try again later", { code: 454, status: "4.7.0" });
const tooBusy = defer("Too many logins at a time, please try again later", { code: 454, status: "4.7.0" });

export function usersSink({ users, passwords, clock, accepted }: UsersOptions): Sink {
  const lockout = new Lockout();
  return {
    name: "users",
    async onAuth(subject, { log, rehearsal }): Promise<Verdict> {
      const { session, user: name, secret, acceptAs } = subject;
      // Whom a sink before this one has accepted is none of ours; a proof without a password cannot be checked against a hash.
      if (session.role !== "submission" || secret === null || subject.acceptedAs !== null) return proceed;
      const { ip } = session;
      const key = userKey(name);
      const facts = { session: session.id, ip, user: name };
      if (!lockout.mayTry(ip, key, clock.monotonicMs())) {
        log.info("users.locked-out", facts);
        return tooOften;
      }
      if (!rehearsal) lockout.begin(ip, key, clock.monotonicMs());
      const end = (result: "succeeded" | "failed" | "undecided") => {
        if (!rehearsal) lockout.end(ip, key, clock.monotonicMs(), result);
      };
      try {
        const user = await users.find(name);
        const hash = user?.enabled ? user.password : null;
        const matches = await passwords.check(secret, hash, user?.password ?? users.usualHash);
        if (matches === "busy") {
          end("undecided");
          log.warn("users.busy", facts);
          return tooBusy;
        }
        if (matches && user) {
          end("succeeded");
          if (!rehearsal) accepted.set(session, user.name);
          acceptAs(user.name);
          return proceed;
        }
        end("failed");
        log.info("users.refused", {
          ...facts,
          reason: !user ? "no such user" : user.enabled ? "wrong password" : "disabled",
        });
        // Not accepted is 535 5.7.8, whoever else is asked.
        return proceed;
      } catch (error) {
        end("undecided");
        throw error;
      }
    },
  };
}
