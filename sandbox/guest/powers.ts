/**
 * Runs inside the isolate: the powers of events, such as `setBanner`. A call is checked roughly, so that the script is told its own line, and noted; the server
 * checks it again when it calls its subject.
 */
import { checkAddress } from "./addresses.ts";
import { describe } from "./headers.ts";
import { append, define, matches, octetsOf, quote, trim } from "./primordials.ts";
import { countAction, invalid, type RunState } from "./run-state.ts";

type Argument = string | null;
type Power = (state: RunState, args: readonly unknown[]) => readonly Argument[];

/** Octets of a line of a reply. RFC 5321 §4.5.3.1.5. */
const lineOctetsMax = 480;
const recipientsMax = 1_000;
const reportOctetsMax = 65_536;
const controlCharacter = /[\x00-\x1f\x7f]/;
const controlInText = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;
const keyword = /^[A-Za-z0-9][A-Za-z0-9-]*$/;
const parameter = /^[\x21-\x7e]+$/;

const powers: Readonly<Record<string, Readonly<Record<string, Power>>>> = {
  __proto__: null as never,
  onConnect: { __proto__: null as never, setBanner: (state, args) => [line(state, "setBanner", args[0])] },
  onHelo: {
    __proto__: null as never,
    offer(state, args) {
      const given: Argument[] = [];
      for (let i = 0; i < args.length; i++) {
        const word = args[i];
        if (typeof word !== "string" || !matches(i === 0 ? keyword : parameter, word))
          return invalid(state, 'offer takes a keyword and words behind it, such as offer("SIZE", "1000000")');
        append(given, word);
      }
      if (given.length === 0) invalid(state, "offer takes a keyword");
      return given;
    },
    hide(state, args) {
      const word = args[0];
      return typeof word === "string" && matches(keyword, word)
        ? [word]
        : invalid(state, 'hide takes a keyword, such as "CHUNKING"');
    },
  },
  onMailFrom: {
    __proto__: null as never,
    rewrite(state, args) {
      const from = args[0] === null ? null : checkAddress(state, args[0], "The reverse-path");
      shown(state, "from", from);
      return [from];
    },
  },
  onRcptTo: {
    __proto__: null as never,
    rewrite(state, args) {
      if (args.length === 0 || args.length > recipientsMax)
        invalid(state, `rewrite takes 1 to ${recipientsMax} recipients`);
      const given: Argument[] = [];
      for (let i = 0; i < args.length; i++) append(given, checkAddress(state, args[i], "A recipient"));
      return given;
    },
    accept: (state, args) =>
      args[0] === "local" || args[0] === "relay"
        ? [args[0]]
        : invalid(state, 'accept takes "local" (a mailbox of ours) or "relay" (to be passed on)'),
  },
  onHeaders: { __proto__: null as never, dropBody: () => [] },
  onRoute: {
    __proto__: null as never,
    route(state, args) {
      const hop = line(state, "route", args[0]);
      if (args.length > 1)
        invalid(state, "route takes one next hop at onRoute: it is for all the recipients this event is about");
      shown(state, "nextHop", hop);
      return [hop];
    },
  },
  onLocalDelivery: {
    __proto__: null as never,
    fileInto(state, args) {
      const folder = args[0] === null ? null : line(state, "fileInto", args[0]);
      if (args.length > 1)
        invalid(state, "fileInto takes one folder at onLocalDelivery: it is for the recipient this event is about");
      shown(state, "folder", folder);
      return [folder];
    },
  },
  onDsn: {
    __proto__: null as never,
    setReportText(state, args) {
      const text = args[0];
      if (typeof text !== "string" || trim(text) === "") return invalid(state, "setReportText takes a text");
      if (octetsOf(text, reportOctetsMax) > reportOctetsMax || matches(controlInText, text))
        invalid(
          state,
          `setReportText takes at most ${reportOctetsMax} octets, without control characters other than line ends and tabs`,
        );
      shown(state, "reportText", text);
      return [text];
    },
    setReportSubject(state, args) {
      const subject = line(state, "setReportSubject", args[0]);
      shown(state, "reportSubject", subject);
      return [subject];
    },
  },
};

/** Notes a call of a power that this event has. */
export function callPower(state: RunState, name: string, args: readonly unknown[]): void {
  const given = powers[state.step.event]![name]!(state, args);
  let text = "";
  for (let i = 0; i < given.length; i++) {
    const one = given[i]!;
    text += `${i === 0 ? "" : ","}${one === null ? "null" : quote(one)}`;
  }
  countAction(state, text.length + name.length + 24);
  state.powers += `${state.powers === "" ? "" : ","}{"name":${quote(name)},"args":[${text}]}`;
}

/** What was said last is what the event shows from here on. */
function shown(state: RunState, fact: string, value: Argument): void {
  define(state.step.subject, fact, value);
}

function line(state: RunState, name: string, text: unknown): string {
  if (typeof text !== "string") return invalid(state, `${name} takes a text, not ${describe(text)}`);
  if (trim(text) === "" || matches(controlCharacter, text) || octetsOf(text, lineOctetsMax) > lineOctetsMax)
    invalid(state, `${name} takes one line of 1 to ${lineOctetsMax} octets, without control characters`);
  return text;
}
