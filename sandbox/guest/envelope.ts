/** Runs inside the isolate: `mail.envelope`. */
import type { Envelope } from "../api.ts";
import { checkAddress, sameAddress } from "./addresses.ts";
import { append, defineProperty, freeze, preventExtensions } from "./primordials.ts";
import { alive, countAction, type RunState } from "./run-state.ts";

export function createEnvelope(state: RunState): Envelope {
  const envelope = {
    add(recipient: string): void {
      const address = checkAddress(alive(state), recipient, "A recipient");
      const list = recipients(state);
      if (find(list, address) !== -1) return;
      countAction(state, address.length);
      const added = copy(list);
      append(added, address);
      state.to = added;
    },
    remove(recipient: string): boolean {
      const address = checkAddress(alive(state), recipient, "A recipient");
      return exchange(state, address, []);
    },
    replace(recipient: string, ...by: readonly string[]): boolean {
      const address = checkAddress(alive(state), recipient, "A recipient");
      return exchange(state, address, checked(state, by));
    },
    redirect(...to: readonly string[]): void {
      const addresses = checked(alive(state), to);
      countAction(state);
      state.to = unique(addresses);
    },
  };
  accessor(
    envelope,
    "from",
    () => (alive(state).from === undefined ? state.mail.envelope.from : state.from),
    (given) => {
      const address = given === null ? null : checkAddress(alive(state), given, "The reverse-path");
      countAction(state, address === null ? 0 : address.length);
      state.from = address;
    },
  );
  accessor(envelope, "to", () => freeze(copy(recipients(alive(state)))));
  return preventExtensions(envelope) as unknown as Envelope;
}

/** A property that is computed; without `set` an assignment is a TypeError. */
export function accessor(object: object, key: string, get: () => unknown, set?: (value: unknown) => void): void {
  defineProperty(object, key, { __proto__: null, get, set, enumerable: true, configurable: false } as PropertyDescriptor);
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
