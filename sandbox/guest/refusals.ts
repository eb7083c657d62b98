/** Runs inside the isolate: recipients of a message that are refused while others are not. */
import { sameAddress } from "./addresses.ts";
import { codeAt, cutToOctets, quote, slice, trim } from "./primordials.ts";
import { countAction, type RunState } from "./run-state.ts";
import { giveReply } from "./verdict.ts";

/** Octets of a reply's text, as in verdict.ts. */
const textOctetsMax = 480;

export interface Refusal {
  readonly recipient: string;
  readonly reason: string;
}

/** Where nobody is left, that is the message's own verdict, and this gives true. */
export function giveRefusals(state: RunState, refusals: readonly Refusal[]): boolean {
  if (refusals.length === 0) return false;
  if (coversAll(state, refusals)) {
    giveReply(state, "refuse", plainReason(refusals[0]!.reason), undefined);
    return true;
  }
  for (let i = 0; i < refusals.length; i++) {
    const { recipient, reason } = refusals[i]!;
    const json = `{"recipient":${quote(recipient)},"code":550,"status":"5.7.1","text":${quote(plainReason(reason))}}`;
    countAction(state, json.length);
    state.refusals += state.refusals === "" ? json : `,${json}`;
  }
  return false;
}

function coversAll(state: RunState, refusals: readonly Refusal[]): boolean {
  const all = state.mail.envelope.to;
  for (let i = 0; i < all.length; i++) {
    let isRefused = false;
    for (let k = 0; k < refusals.length; k++) isRefused ||= sameAddress(all[i]!, refusals[k]!.recipient);
    if (!isRefused) return false;
  }
  return true;
}

/** One line that fits a reply. (lenient: a worker's reason may have been made from anything) */
function plainReason(reason: string): string {
  let line = "";
  const cut = cutToOctets(reason, textOctetsMax);
  for (let i = 0; i < cut.length; i++) {
    const code = codeAt(cut, i);
    line += code < 0x20 || (code >= 0x7f && code < 0xa0) ? " " : slice(cut, i, i + 1);
  }
  return trim(line) === "" ? "Rejected" : trim(line);
}
