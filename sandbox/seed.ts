/** Seeds of random numbers, one for each run: from a stock of random octets, as asking for sixteen at a time takes long. */
import { randomFillSync } from "node:crypto";

const seedOctets = 16;
const stock = Buffer.alloc(256 * seedOctets);
let at = stock.length;

/** 32 hexadecimal digits that nobody can guess. */
export function createSeed(): string {
  if (at === stock.length) {
    randomFillSync(stock);
    at = 0;
  }
  at += seedOctets;
  return stock.toString("hex", at - seedOctets, at);
}
