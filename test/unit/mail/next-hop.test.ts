import { describe, expect, test } from "vitest";
import { formatNextHop, parseNextHop } from "../../../src/mail/next-hop.ts";
import { Fault } from "../../../src/platform/fault.ts";

describe("parseNextHop", () => {
  const server = (host: string, port: number) => ({ host, port });
  test.each([
    ["a word by itself", "maildir", { kind: "maildir" }],
    ["blanks around it", " drop ", { kind: "drop" }],
    ["the recipient's domain", "mx", { kind: "mx", domain: "given.example" }],
    ["another domain, in the form we compare", "mx:Other.Example", { kind: "mx", domain: "other.example" }],
    ["the configured one", "smarthost", { kind: "smarthost" }],
    ["held without words", "hold", { kind: "hold", reason: "held by a route" }],
    ["held with words", "hold: until Monday", { kind: "hold", reason: "until Monday" }],
    [
      "one server, its port left out",
      "smtp://a.example",
      { kind: "smtp", servers: [server("a.example", 25)], implicitTls: false },
    ],
    [
      "several servers in their order, with blanks",
      "smtp://a.example:2525, [2001:db8::1]:26,192.0.2.1",
      {
        kind: "smtp",
        servers: [server("a.example", 2525), server("2001:db8::1", 26), server("192.0.2.1", 25)],
        implicitTls: false,
      },
    ],
    [
      "TLS from the first octet",
      "smtps://a.example",
      { kind: "smtp", servers: [server("a.example", 465)], implicitTls: true },
    ],
    ["LMTP on a port", "lmtp://127.0.0.1:2424", { kind: "lmtp", server: server("127.0.0.1", 2424) }],
    ["LMTP, the custom port", "lmtp://imap.example", { kind: "lmtp", server: server("imap.example", 24) }],
    ["LMTP on a socket", "lmtp:/run/dovecot/lmtp", { kind: "lmtp", server: { socket: "/run/dovecot/lmtp" } }],
    ["a program", "https://app.example/mail?k=1", { kind: "http", url: "https://app.example/mail?k=1" }],
  ])("reads %s", (_why, text, hop) => {
    expect(parseNextHop(text, "given.example")).toEqual(hop);
    expect(parseNextHop(formatNextHop(parseNextHop(text, "given.example")))).toEqual(
      parseNextHop(text, "given.example"),
    );
  });

  test.each([
    ["nothing", ""],
    ["a word nobody knows", "pigeon"],
    ["a scheme nobody knows", "ftp://a.example"],
    ["no server", "smtp://"],
    ["a server that is none", "smtp://a_b.example"],
    ["a literal in the place of an address", "smtp://[a.example]"],
    ["port 0", "smtp://a.example:0"],
    ["a port above 65,535", "smtp://a.example:65536"],
    ["a path behind the server", "smtp://a.example/x"],
    ["21 servers", `smtp://${Array.from({ length: 21 }, (_, i) => `m${i}.example`).join(",")}`],
    ["an MX domain that is none", "mx:a b"],
    ["a relative socket", "lmtp:run/lmtp"],
    ["a password in a URL", "https://u:p@app.example/"],
    ["a fragment in a URL", "https://app.example/#x"],
    ["hold without the words it promises", "hold: "],
    ["a line end", "hold:a\nb"],
  ])("refuses %s", (_why, text) => {
    expect(() => parseNextHop(text)).toThrow(Fault);
  });
});
