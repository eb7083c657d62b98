/** Networks: lists of addresses and blocks, as rules and the configuration write them. */
import { type ClientPattern, compileClientPattern, matchesClient } from "./rule-pattern.ts";

/** Whether an address is in one of the networks. */
export type Networks = (ip: string) => boolean;

/**
 * Compiles `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
 * @throws {PatternError} where one is none
 */
export function compileNetworks(texts: readonly string[]): Networks {
  const patterns: ClientPattern[] = texts.map((text) =>
    compileClientPattern({ text, quoted: false, literalStars: null }),
  );
  if (patterns.length === 0) return () => false;
  return (ip) => patterns.some((pattern) => matchesClient(pattern, ip));
}
