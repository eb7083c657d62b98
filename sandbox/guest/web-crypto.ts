/**
 * Runs inside the isolate: `crypto` with randomUUID, getRandomValues and subtle.digest. Random octets come of the run's seed by SHAKE256, so that they cannot be
 * guessed by who does not know it, and are the same when the run is repeated.
 */
import { runInHand } from "./calls.ts";
import { Bytes, freeze, indexOf, slice, TypeErrorOf, toText } from "./primordials.ts";
import type { RunState } from "./run-state.ts";
import { DOMException } from "./web-exception.ts";
import { askOctets } from "./web-host.ts";
import { bufferWith, defineGlobal, lengthOf, octetsIn, setOctets, upperCase, viewKind } from "./web-primordials.ts";

const octetsMax = 65_536;
const hex = "0123456789abcdef";
/** Run and how many times it has asked: no two answers are the same. */
let owner: RunState | null = null;
let asked = 0;

function randomOctets(count: number): Uint8Array<ArrayBuffer> {
  const state = runInHand("crypto");
  if (state !== owner) {
    owner = state;
    asked = 0;
  }
  const { seed } = state.step;
  const octets = askOctets("random", seed === "" ? `${count}` : `${count} ${seed}:${asked++}`);
  return new Bytes(octets!);
}

function getRandomValues(into: unknown): unknown {
  const kind = viewKind(into);
  if (kind === undefined || indexOf(kind, "Float") === 0)
    throw new DOMException(
      "getRandomValues fills an array of whole numbers, such as a Uint8Array",
      "TypeMismatchError",
    );
  const octets = octetsIn(into)!;
  const count = lengthOf(octets);
  if (count > octetsMax)
    throw new DOMException(`getRandomValues fills at most ${octetsMax} octets`, "QuotaExceededError");
  if (count > 0) setOctets(octets, randomOctets(count));
  return into;
}

/** Version 4. RFC 9562 §5.4. */
function randomUUID(): string {
  const octets = randomOctets(16);
  octets[6] = (octets[6]! & 0x0f) | 0x40;
  octets[8] = (octets[8]! & 0x3f) | 0x80;
  let text = "";
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += "-";
    text += slice(hex, octets[i]! >> 4, (octets[i]! >> 4) + 1) + slice(hex, octets[i]! & 15, (octets[i]! & 15) + 1);
  }
  return text;
}

async function digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
  const given =
    typeof algorithm === "object" && algorithm !== null ? (algorithm as { readonly name?: unknown }).name : algorithm;
  const octets = octetsIn(data);
  if (octets === null) throw new TypeErrorOf("crypto.subtle.digest takes an ArrayBuffer, or a view of one");
  const answer = askOctets("digest", upperCase(toText(given)), bufferWith(octets));
  if (answer === null)
    throw new DOMException(`crypto.subtle.digest knows SHA-1, SHA-256, SHA-384 and SHA-512`, "NotSupportedError");
  return answer;
}

const subtle: Record<string, unknown> = { __proto__: null as never, digest };
const absent = [
  "encrypt",
  "decrypt",
  "sign",
  "verify",
  "generateKey",
  "deriveKey",
  "deriveBits",
  "importKey",
  "exportKey",
  "wrapKey",
  "unwrapKey",
];
for (let i = 0; i < absent.length; i++) {
  const name = absent[i]!;
  subtle[name] = async () => {
    throw new DOMException(`crypto.subtle.${name} is not available to scripts: only digest is`, "NotSupportedError");
  };
}
defineGlobal("crypto", freeze({ subtle: freeze(subtle), getRandomValues, randomUUID }));
