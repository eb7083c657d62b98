/** Runs inside the isolate: `mail.envelope`. */
import type { Envelope } from "../api.ts";
import { checkAddress, sameAddress } from "./addresses.ts";
import { append, freeze, preventExtensions } from "./primordials.ts";
import { alive, countAction, type RunState } from "./run-state.ts";

export class EnvelopeView implements Envelope {
  readonly #state: RunState;

  constructor(state: RunState) {
    this.#state = state;
    preventExtensions(this);
  }

  get from(): string | null {
    const { from, mail } = alive(this.#state);
    return from === undefined ? mail.envelope.from : from;
  }

  set from(given: string | null) {
    const address = given === null ? null : checkAddress(alive(this.#state), given, "The reverse-path");
    countAction(this.#state, address === null ? 0 : address.length);
    this.#state.from = address;
  }

  get to(): readonly string[] {
    return freeze(copy(recipients(alive(this.#state))));
  }

  add(recipient: string): void {
    const address = checkAddress(alive(this.#state), recipient, "A recipient");
    const list = recipients(this.#state);
    if (find(list, address) !== -1) return;
    countAction(this.#state, address.length);
    const added = copy(list);
    append(added, address);
    this.#state.to = added;
  }

  remove(recipient: string): boolean {
    return exchange(this.#state, checkAddress(alive(this.#state), recipient, "A recipient"), []);
  }

  replace(recipient: string, ...by: readonly string[]): boolean {
    const address = checkAddress(alive(this.#state), recipient, "A recipient");
    return exchange(this.#state, address, checked(this.#state, by));
  }

  redirect(...to: readonly string[]): void {
    redirect(this.#state, to);
  }
}

freeze(EnvelopeView.prototype);

/** These recipients and no others. */
export function redirect(state: RunState, to: readonly unknown[]): void {
  const addresses = checked(alive(state), to);
  countAction(state);
  state.to = unique(addresses);
}

function recipients(state: RunState): readonly string[] {
  return state.to ?? state.mail.envelope.to;
}

/** Puts others into the place of one; false where it is not there. */
function exchange(state: RunState, address: string, by: readonly string[]): boolean {
  const list = recipients(state);
  const at = find(list, address);
  if (at === -1) return false;
  countAction(state);
  const fresh: string[] = [];
  for (let i = 0; i < list.length; i++) {
    if (i !== at) append(fresh, list[i]!);
    else for (let k = 0; k < by.length; k++) append(fresh, by[k]!);
  }
  state.to = unique(fresh);
  return true;
}

function checked(state: RunState, given: readonly unknown[]): string[] {
  const addresses: string[] = [];
  for (let i = 0; i < given.length; i++) {
    const address = checkAddress(state, given[i], "A recipient");
    countAction(state, address.length);
    append(addresses, address);
  }
  return addresses;
}

function find(list: readonly string[], address: string): number {
  for (let i = 0; i < list.length; i++) if (sameAddress(list[i]!, address)) return i;
  return -1;
}

function unique(list: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < list.length; i++) if (find(kept, list[i]!) === -1) append(kept, list[i]!);
  return kept;
}

function copy(list: readonly string[]): string[] {
  const copied: string[] = [];
  for (let i = 0; i < list.length; i++) append(copied, list[i]!);
  return copied;
}
