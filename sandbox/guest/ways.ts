/** Runs inside the isolate: where the message goes from here. The words for it are read by the server. */
import { checkAddress, sameAddress } from "./addresses.ts";
import { describe } from "./headers.ts";
import { matches, quote, trim } from "./primordials.ts";
import { alive, countAction, invalid, type RunState } from "./run-state.ts";

const hopLengthMax = 2_000;
const folderLengthMax = 200;
const control = /[\x00-\x1f\x7f]/;

export function giveRoute(state: RunState, nextHop: unknown, recipients: readonly unknown[]): void {
  const words = wordsGiven(
    state,
    "route",
    nextHop,
    hopLengthMax,
    'a next hop such as "smtp://relay.example:2525" or "mx"',
  );
  const way = formatWay(state, "route", words, recipients);
  state.routes += state.routes === "" ? way : `,${way}`;
}

export function giveFolder(state: RunState, folder: unknown, recipients: readonly unknown[]): void {
  const words =
    folder === null
      ? null
      : wordsGiven(state, "fileInto", folder, folderLengthMax, 'a folder such as "Junk" or "Lists/dev"');
  const way = formatWay(state, "fileInto", words, recipients);
  state.folders += state.folders === "" ? way : `,${way}`;
}

function wordsGiven(state: RunState, verb: string, given: unknown, lengthMax: number, wanted: string): string {
  if (typeof given !== "string" || trim(given) === "")
    return invalid(state, `${verb} takes ${wanted}, not ${typeof given === "string" ? "nothing" : describe(given)}`);
  if (given.length > lengthMax || matches(control, given))
    return invalid(state, `${verb} takes ${wanted}: at most ${lengthMax} characters in one line`);
  return trim(given);
}

function formatWay(state: RunState, verb: string, to: string | null, recipients: readonly unknown[]): string {
  const all = alive(state).to ?? state.mail.envelope.to;
  let list = "";
  let octets = to === null ? 4 : to.length;
  for (let i = 0; i < recipients.length; i++) {
    const address = checkAddress(state, recipients[i], "A recipient");
    let known = false;
    for (let k = 0; k < all.length; k++) if (sameAddress(all[k]!, address)) known = true;
    if (!known) invalid(state, `${verb}: ${address} is no recipient of the message`);
    list += `${list === "" ? "" : ","}${quote(address)}`;
    octets += address.length;
  }
  countAction(state, octets);
  return `{"recipients":${recipients.length === 0 ? "null" : `[${list}]`},"to":${to === null ? "null" : quote(to)}}`;
}
