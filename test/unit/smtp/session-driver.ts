/** Plays octets to a server session, answers its steps, and keeps what it did and wrote. */
import type { Reply } from "../../../src/mail/status.ts";
import { deriveScramCredentials } from "../../../src/smtp/scram.ts";
import { ServerSession } from "../../../src/smtp/server-session.ts";
import type { ServerSettings } from "../../../src/smtp/server-settings.ts";
import type { ServerStep } from "../../../src/smtp/server-step.ts";

export const settings: ServerSettings = {
  hostname: "mx.example.test",
  protocol: "smtp",
  sizeOctetsMax: 1_000,
  recipientsMax: 100,
  startTls: true,
  binaryMime: true,
  xclient: true,
  xforward: true,
  mechanisms: () => ["PLAIN", "LOGIN", "SCRAM-SHA-256"],
  errorsMax: 10,
  idleCommandsMax: 50,
  watchesCommands: () => false,
  watchesReplies: () => false,
};

export const ok: Reply = { code: 250, status: "2.0.0", text: "ok" };
export const no: Reply = { code: 550, status: "5.7.1", text: "no" };

/** `secret` of `ann`. */
export const annsCredentials = deriveScramCredentials("secret", {
  salt: Buffer.from("salt of ann"),
  iterations: 4_096,
});

/** What to do for steps of a kind, in the place of agreeing. */
export type On = {
  readonly [Kind in ServerStep["kind"]]?: (step: Extract<ServerStep, { kind: Kind }>, session: ServerSession) => void;
};

export interface Played {
  readonly session: ServerSession;
  /** In words; octets are gathered until their message is there. */
  readonly steps: readonly string[];
  readonly output: string;
}

/** Agrees to everything, but for what `on` does. */
export function play(
  pieces: readonly (string | Buffer)[],
  { on = {}, ...changed }: Partial<ServerSettings> & { readonly on?: On } = {},
): Played {
  const session = new ServerSession({ ...settings, ...changed }, () => "server-nonce");
  const steps: string[] = [];
  let output = "";
  let data = "";
  session.greet();
  const work = () => {
    for (let step = session.next(); step !== null; step = session.next()) {
      if (step.kind === "octets") data += step.octets.toString("latin1");
      else steps.push(describe(step));
      if (step.kind === "end-of-data") {
        steps.push(JSON.stringify(data));
        data = "";
      }
      const act = on[step.kind] as ((step: ServerStep, session: ServerSession) => void) | undefined;
      (act ?? agree)(step, session);
      output += session.takeOutput();
    }
    output += session.takeOutput();
  };
  work();
  for (const piece of pieces) {
    session.receive(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece);
    work();
  }
  return { session, steps, output };
}

const agreements: Required<On> = {
  command: (_step, session) => session.goOn(),
  octets: (_step, session) => session.goOn(),
  reset: (_step, session) => session.goOn(),
  captured: (_step, session) => session.consume(ok),
  reply: (step, session) => session.say(step.reply),
  helo: (step, session) => session.welcome(step.keywords),
  mail: (_step, session) => session.answer(ok),
  rcpt: (_step, session) => session.answer(ok),
  data: (_step, session) => session.answer({ code: 354, status: undefined, text: "go" }),
  "end-of-data": (_step, session) => session.answer(ok),
  auth: (_step, session) => session.answer({ code: 235, status: "2.7.0", text: "in" }),
  proved: (_step, session) => session.answer({ code: 235, status: "2.7.0", text: "in" }),
  scram: (step, session) => session.challenge(step.user === "ann" ? annsCredentials : null),
  xclient: (_step, session) => session.answer({ code: 220, status: undefined, text: "anew" }),
  xforward: (_step, session) => session.answer(ok),
  starttls: (_step, session) => session.secured(),
  close: () => {},
};

/** Positive, in the way the step asks for. */
export function agree(step: ServerStep, session: ServerSession): void {
  (agreements[step.kind] as (step: ServerStep, session: ServerSession) => void)(step, session);
}

function describe(step: ServerStep): string {
  switch (step.kind) {
    case "command":
      return `command ${step.verb}|${step.argument}|${step.line}`;
    case "captured":
      return `captured ${step.line}`;
    case "reply":
      return `reply ${step.verb} ${step.reply.code}`;
    case "helo":
      return `${step.verb} ${step.name}`;
    case "mail":
    case "rcpt":
      return `${step.kind} ${step.path} ${JSON.stringify(step.options)}`;
    case "data":
      return `data by ${step.by}`;
    case "auth":
      return `auth ${step.mechanism} ${step.user} ${step.secret}`;
    case "scram":
    case "proved":
      return `${step.kind} ${step.user}`;
    case "xclient":
    case "xforward":
      return `${step.kind} ${JSON.stringify([...step.attributes])}`;
    case "reset":
      return `reset by ${step.by}`;
    case "close":
      return `close ${step.reason}`;
    default:
      return step.kind;
  }
}

/** Cuts octets at these places, counted round. */
export function cut(octets: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (octets.length + 1)))].sort((one, other) => one - other);
  return [0, ...sorted].map((from, i) => octets.subarray(from, sorted[i] ?? octets.length));
}
