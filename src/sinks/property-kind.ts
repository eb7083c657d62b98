/** Kinds of property values that the configuration has no option of: networks, domains, replies' texts. The plain ones are in platform/value.ts. */
import { compileNetworks } from "../events/network.ts";
import { refuse } from "../events/verdict.ts";
import { normalizeDomain } from "../mail/mailbox.ts";
import { describeRaw, quoted, text, type ValueKind } from "../platform/value.ts";

/** A list whose items `read` makes values of; it gives undefined, or throws, for what is none. */
export function listOf<T>(
  expects: string,
  read: (item: string) => T | undefined,
  format: (value: T) => string,
): ValueKind<readonly T[]> {
  return {
    expects,
    parse(raw) {
      if (!Array.isArray(raw)) return { expected: expects };
      const values: T[] = [];
      for (const item of raw as unknown[]) {
        const value = typeof item === "string" ? tryRead(read, item) : undefined;
        if (value === undefined) return { expected: `${expects} (${describeRaw(item)} is none)` };
        values.push(value);
      }
      return { value: values };
    },
    fromText: (value) =>
      value
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    format: (values) => `[${values.map((value) => quoted(format(value))).join(", ")}]`,
    jsonSchema: { type: "array", items: { type: "string" } },
  };
}

/** Addresses and blocks: `["192.0.2.0/24", "2001:db8::1"]`. */
export const networkList: ValueKind<readonly string[]> = listOf(
  'a list of addresses and blocks such as ["192.0.2.0/24"]',
  (item) => {
    compileNetworks([item]);
    return item === "*" ? undefined : item;
  },
  (item) => item,
);

export const domainList: ValueKind<readonly string[]> = listOf(
  'a list of domains such as ["example.test"]',
  normalizeDomain,
  (item) => item,
);

/** Words of a reply: one line that a verdict takes. */
export const replyText: ValueKind<string> = {
  ...text("a text of one line, at most 480 octets"),
  parse: (raw) =>
    typeof raw === "string" && tryRead((words) => refuse(words), raw) !== undefined
      ? { value: raw }
      : { expected: "a text of one line, at most 480 octets" },
};

function tryRead<T>(read: (item: string) => T | undefined, item: string): T | undefined {
  try {
    return read(item);
  } catch {
    return undefined;
  }
}
