import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MachineNames, parseNameServer } from "../../../src/platform/dns-machine.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

describe("parseNameServer", () => {
  test.each([
    ["192.0.2.53", { address: "192.0.2.53", port: 53 }],
    ["192.0.2.53:5353", { address: "192.0.2.53", port: 5353 }],
    ["2001:db8::53", { address: "2001:db8::53", port: 53 }],
    ["[2001:db8::53]", { address: "2001:db8::53", port: 53 }],
    ["[2001:db8::53]:65535", { address: "2001:db8::53", port: 65_535 }],
    ["[2001:DB8:0:0::0:53]:53", { address: "2001:db8::53", port: 53 }],
    ["0:0:0:0:0:0:0:1", { address: "::1", port: 53 }],
    ["fe80::1%eth0", { address: "fe80::1%eth0", port: 53 }],
  ])("reads %s", (text, expected) => expect(parseNameServer(text)).toEqual(expected));
});

describe("MachineNames.servers", () => {
  let folder = "";
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "onarrival-names-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const serversIn = (text: string) => {
    writeFileSync(join(folder, "resolv.conf"), text);
    const names = new MachineNames({ clock: createFakeClock(), resolvConf: join(folder, "resolv.conf") });
    return names.servers().map(({ address, port }) => `${address} ${port}`);
  };

  test.each<[why: string, text: string, expected: string[]]>([
    ["servers in their order", "nameserver 192.0.2.1\nnameserver\t2001:db8::1\n", ["192.0.2.1 53", "2001:db8::1 53"]],
    [
      "other lines",
      "# nameserver 192.0.2.9\nsearch example.test\noptions edns0\nnameserver 192.0.2.1 # x\n",
      ["192.0.2.1 53"],
    ],
    ["what is no address", "nameserver ns.example.test\nnameserver 192.0.2.1\n", ["192.0.2.1 53"]],
    ["a zone", "nameserver fe80::1%eth0\n", ["fe80::1%eth0 53"]],
    ["an address that is written at length", "nameserver 0:0:0:0:0:0:0:1\n", ["::1 53"]],
    [
      "more than three",
      [1, 2, 3, 4].map((n) => `nameserver 192.0.2.${n}`).join("\n"),
      ["192.0.2.1 53", "192.0.2.2 53", "192.0.2.3 53"],
    ],
    ["none: the one on this machine", "", ["127.0.0.1 53"]],
  ])("%s", (_why, text, expected) => expect(serversIn(text)).toEqual(expected));

  test("the one on this machine where there is no file", () => {
    const names = new MachineNames({ clock: createFakeClock(), resolvConf: join(folder, "missing") });
    expect(names.servers()).toEqual([{ address: "127.0.0.1", port: 53 }]);
  });

  test("are read again when the file has changed, or is there at last", async () => {
    const clock = createFakeClock();
    const path = join(folder, "later");
    const names = new MachineNames({ clock, resolvConf: path });
    names.servers();
    writeFileSync(path, "nameserver 192.0.2.1\n");
    await clock.advance(5_000);
    expect(names.servers()).toEqual([{ address: "192.0.2.1", port: 53 }]);
    rmSync(path);
    await clock.advance(5_000);
    expect(names.servers()).toEqual([{ address: "127.0.0.1", port: 53 }]);
  });
});
