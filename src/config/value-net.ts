/** Kinds of option values that name hosts and networks; the plain ones are in platform/value.ts. */
import { normalizeDomain } from "../mail/mailbox.ts";
import { parseNextHop } from "../mail/next-hop.ts";
import { parseNameServer } from "../platform/dns-machine.ts";
import { describeThrown } from "../platform/fault.ts";
import { describeRaw, list, quoted, text, type ValueKind } from "../platform/value.ts";

export const hostName: ValueKind<string> = {
  ...text("a host name"),
  parse(raw) {
    const domain = typeof raw === "string" ? normalizeDomain(raw) : undefined;
    return domain === undefined ? { expected: "a host name" } : { value: domain };
  },
};

/** A list of domains; in the environment they are separated by commas. */
export const domains: ValueKind<readonly string[]> = {
  expects: "a list of domains",
  parse(raw) {
    if (!Array.isArray(raw)) return { expected: 'a list of domains such as ["example.test"]' };
    const values: string[] = [];
    for (const item of raw as unknown[]) {
      const domain = typeof item === "string" ? normalizeDomain(item) : undefined;
      if (domain === undefined) return { expected: `a list of domains (${describeRaw(item)} is none)` };
      values.push(domain);
    }
    return { value: values };
  },
  fromText: (value) =>
    value
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  format: (values) => `[${values.map(quoted).join(", ")}]`,
  jsonSchema: { type: "array", items: { type: "string" } },
};

const serversExpected = 'a list of addresses such as ["127.0.0.1", "[2001:db8::53]:5353"]';
const texts = list(serversExpected, /./);

/** Name servers, checked and kept as they are written. */
export const nameServers: ValueKind<readonly string[]> = {
  ...texts,
  parse(raw) {
    const read = texts.parse(raw);
    const wrong = "value" in read ? read.value.find((item) => !isNameServer(item)) : undefined;
    return wrong === undefined ? read : { expected: `${serversExpected} (${describeRaw(wrong)} is none)` };
  },
};

function isNameServer(text: string): boolean {
  try {
    parseNameServer(text);
    return true;
  } catch {
    return false;
  }
}

/** A next hop, checked and kept as it is written. */
export const nextHop: ValueKind<string> = {
  ...text("a next hop"),
  parse(raw) {
    if (typeof raw !== "string") return { expected: 'a next hop, such as "smtp://relay.example:25"' };
    try {
      parseNextHop(raw);
      return { value: raw };
    } catch (error) {
      return { expected: describeThrown(error).replace(/^.*?: expected /s, "") };
    }
  },
};
