/**
 * `onarrival/test`: tests of a script, written as code. A test file lies beside the script, in `scripts/name.test/`, and ends in `.test.ts`:
 *
 *     import { expect, mail, run, test } from "onarrival/test";
 *     test("mail from outside is marked", async () => {
 *       const { result } = await run(mail({ from: "ann@example.org", subject: "Lunch?" }));
 *       expect(result.changes.fields, [{ op: "set", name: "Subject", after: "[external] Lunch?" }]);
 *     });
 *
 * `onarrival test scripts/name.ts --all` runs it, and a server does before a version goes live. It runs in a sandbox like the script itself: no files, no network.
 * Types only.
 */
import type { Json, NewAttachment } from "./api-mail.ts";

/** A test: it holds unless it throws. Tests of a file run one after the other. */
export declare function test(name: string, body: () => void | Promise<void>): void;

/** A message, in parts or as the text of a whole one. */
export declare function mail(message: TestMail | string): TestMessage;

/** Runs the script, as the server would. What it asks of the server is answered by `answers`; a question without an answer is a fault of the run. */
export declare function run(message?: TestMessage | null, setup?: TestSetup): Promise<TestOutcome>;

/**
 * Throws unless `found` is as wanted. Of an object only the members that are wanted are looked at; a list has to be as long as the wanted one; a regular
 * expression has to match.
 */
export declare function expect(found: unknown, wanted: unknown): void;

export interface TestMail {
  /** "ann@example.org" unless given. */
  readonly from?: string;
  /** "bob@example.test" unless given. */
  readonly to?: string | readonly string[];
  readonly cc?: string | readonly string[];
  readonly subject?: string;
  readonly text?: string;
  readonly html?: string;
  /** Further fields. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly attachments?: readonly NewAttachment[];
}

/** What `mail` gives, for `run`. */
export interface TestMessage {
  readonly mail: TestMail | string;
}

/** How the message comes in; the same as in `case.json`. */
export interface TestSetup {
  /** onArrival unless given, or what the script handles. */
  readonly event?: string;
  readonly ip?: string;
  readonly host?: string | null;
  readonly helo?: string;
  readonly user?: string | null;
  readonly tls?: string | null;
  readonly listener?: string;
  /** Results of SPF, DKIM, DMARC, ARC; what is left out was not there. */
  readonly auth?: Readonly<Record<string, Json>> | null;
  /** The envelope; that of the header unless given. */
  readonly from?: string | null;
  readonly to?: string | readonly string[];
  readonly notes?: Readonly<Record<string, Json>>;
  readonly properties?: Readonly<Record<string, Json>>;
  /** Of the script; noon of 2026-01-01 in UTC unless given. */
  readonly clock?: string | number;
  /** Of its random numbers: 32 hexadecimal digits, the same ones every time unless given. */
  readonly seed?: string;
  readonly answers?: TestAnswers;
}

/** What the script hears; the same as in `case.answers.json`. */
export interface TestAnswers {
  readonly http?: readonly {
    /** "GET https://directory.example.org/users/bob"; a star at its end is anything. */
    readonly request: string;
    /** 200 unless given. */
    readonly status?: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly json?: Json;
    readonly text?: string;
    /** In the place of an answer: "timeout", "refused", "name", "tls". */
    readonly error?: string;
  }[];
  /** By question: "A mail.example.org", "MX example.org", "listed zen.example.org 192.0.2.1". */
  readonly dns?: Readonly<Record<string, Json>>;
  /** What the store holds before the run. */
  readonly kv?: Readonly<Record<string, Json>>;
  readonly secrets?: Readonly<Record<string, string>>;
}

export interface TestOutcome {
  readonly result: TestRunResult;
  /** The whole message as it would be kept; null where it is not. */
  readonly message: string | null;
}

/** What `onarrival test --json` says of a message. */
export interface TestRunResult {
  readonly event: string;
  readonly matched: boolean;
  readonly envelope: { readonly from: string | null; readonly to: readonly string[] };
  readonly verdict: {
    readonly kind: string;
    readonly code?: number;
    readonly status?: string;
    readonly text?: string;
    readonly settled: boolean;
  };
  readonly changes: {
    readonly envelope: {
      readonly from?: string | null;
      readonly added: readonly string[];
      readonly removed: readonly string[];
    };
    readonly fields: readonly {
      readonly op: string;
      readonly name: string;
      readonly before?: string;
      readonly after?: string;
    }[];
    readonly parts: readonly {
      readonly op: string;
      readonly part: string;
      readonly contentType: string;
      readonly fileName?: string;
    }[];
    readonly notes?: Readonly<Record<string, Json>>;
    readonly routes?: readonly { readonly recipients: readonly string[] | null; readonly to: string | null }[];
    readonly folders?: readonly { readonly recipients: readonly string[] | null; readonly to: string | null }[];
  };
  readonly said?: readonly string[];
  readonly submissions: readonly {
    readonly from: string | null;
    readonly to: readonly string[];
    readonly subject: string;
  }[];
  /** What it asked of the server, in order: "POST https://hooks.example.org/mail", "kv.set seen". */
  readonly asked?: readonly { readonly ask: string; readonly body?: Json }[];
  readonly log: readonly { readonly level: string; readonly text: string }[];
  readonly defects: readonly string[];
  readonly fault: { readonly code: string; readonly message: string; readonly at: string | null } | null;
}
