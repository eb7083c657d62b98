/** Versions as people write them: a few digits of a hash, or none for the one before. */
import { Fault } from "../platform/fault.ts";
import type { Activation } from "./versions.ts";

/** Digits that are enough to mean one. */
const digitsMin = 4;

/**
 * The version that is meant, of those that were live.
 * @param wanted null: the one that was live before
 * @param live what runs now, if anything does
 * @throws {Fault} `script.no-version`; `control.invalid` where no version can be meant by that
 */
export function findVersion(
  script: string,
  activations: readonly Activation[],
  wanted: string | null,
  live: string | null,
): string {
  const latest = [...new Set(activations.map(({ version }) => version).reverse())];
  if (wanted === null) {
    const before = latest.find((version) => version !== live);
    if (before !== undefined) return before;
    throw new Fault("script.no-version", `No version of ${script} was live before`);
  }
  const digits = wanted
    .trim()
    .toLowerCase()
    .replace(/^sha256:/, "");
  if (!new RegExp(`^[0-9a-f]{${digitsMin},64}$`).test(digits))
    throw new Fault(
      "control.invalid",
      `${JSON.stringify(wanted.slice(0, 80))} is no version: expected ${digitsMin} hexadecimal digits of it at least`,
    );
  const [found, ...others] = latest.filter((version) => version.startsWith(`sha256:${digits}`));
  if (found === undefined) throw new Fault("script.no-version", `No version ${digits} of ${script} is kept`);
  if (others.length > 0)
    throw new Fault(
      "script.no-version",
      `${others.length + 1} versions of ${script} begin with ${digits}: give more digits`,
    );
  return found;
}
