import { afterEach, describe, expect, test } from "vitest";
import { type Place, SmtpClients, type SmtpClientsOptions } from "../../../src/outbound/smtp-clients.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { createSampleMessage } from "../../support/sample-message.ts";
import { agree } from "../../support/smtp-peer.ts";
import { deferred, recipientsOf, scripted } from "./smtp-setup.ts";

let clients: SmtpClients | undefined;
afterEach(() => clients?.close());

function create(options: Partial<SmtpClientsOptions> = {}) {
  const clock = createFakeClock();
  clients = new SmtpClients({ hostName: "mail.example.test", clock, ...options });
  return { clients, clock };
}

function place(change: Partial<Place> = {}, port = 25): Place {
  const smarthost = { host: "mx.example.org", port, tls: "opportunistic" } as const;
  return { smarthost, address: "127.0.0.1", tlsPolicy: "opportunistic", ...change };
}

const record = { usage: 3, selector: 1, matchingType: 1, data: Buffer.alloc(32) };

describe("SmtpClients.get", () => {
  const rows: [why: string, other: Place, same: boolean][] = [
    ["all alike", place(), true],
    ["another port", place({}, 26), false],
    ["another address", place({ address: "127.0.0.2" }), false],
    ["another policy", place({ tlsPolicy: "verified" }), false],
    ["records", place({ tlsa: { records: [record], domain: null } }), false],
    [
      "the name that records stand at",
      place({ tlsa: { records: [record], domain: null, base: "mx.behind.example" } }),
      false,
    ],
    ["a password", place({ smarthost: { ...place().smarthost, user: "ann", password: "secret" } }), false],
  ];
  test.each(rows)("%s", (_why, other, same) => {
    const { clients } = create();
    expect(clients.get(other) === clients.get(place())).toBe(same);
  });

  test("other records at the same host are another place", () => {
    const { clients } = create();
    const [one, other] = [0, 1].map((octet) => {
      const data = Buffer.alloc(32, octet);
      return clients.get(place({ tlsa: { records: [{ ...record, data }], domain: null } }));
    });
    expect(one).not.toBe(other);
  });
});

describe("SmtpClients: how many are kept", () => {
  test("as many as the limit; then the one that was used longest ago is left", () => {
    const { clients } = create({ clientsMax: 2 });
    const [one, two] = [clients.get(place({}, 1)), clients.get(place({}, 2))];
    expect(clients.get(place({}, 1))).toBe(one);
    clients.get(place({}, 3));
    expect(clients.size).toBe(2);
    expect(clients.get(place({}, 1))).toBe(one);
    expect(clients.get(place({}, 2))).not.toBe(two);
  });

  test("one that was quiet for long is left, not before", async () => {
    const { clients, clock } = create({ quietMs: 60_000 });
    clients.get(place({}, 1));
    await clock.advance(59_999);
    clients.get(place({}, 2));
    expect(clients.size).toBe(2);
    await clock.advance(1);
    clients.get(place({}, 2));
    expect(clients.size).toBe(1);
  });

  test("one that is at work is kept, however long it takes, and does not shield those behind it", async () => {
    const { clients, clock } = create({ quietMs: 60_000 });
    const atDot = deferred();
    let finish = () => {};
    const peer = await scripted((line, { write }) => {
      if (line !== ".") return agree(line);
      finish = () => write("250 2.0.0 fine\r\n");
      atDot.resolve();
      return undefined;
    });
    const busy = clients.get(place({}, peer.port));
    const message = createSampleMessage();
    const delivered = busy.deliver(message, recipientsOf(message));
    await atDot.promise;
    clients.get(place({}, 1));
    await clock.advance(60_000);
    clients.get(place({}, 2));
    expect(clients.size).toBe(2);
    expect(clients.get(place({}, peer.port))).toBe(busy);
    finish();
    expect(await delivered).toMatchObject([{ kind: "delivered" }]);
  });

  test("retire: none is used again, and what is idle is told goodbye", async () => {
    const { clients } = create();
    const peer = await scripted((line) => agree(line));
    const client = clients.get(place({}, peer.port));
    const message = createSampleMessage();
    await client.deliver(message, recipientsOf(message));
    clients.retire();
    expect(clients.size).toBe(0);
    await expect.poll(() => peer.lines.at(-1)).toBe("QUIT");
    expect(clients.get(place({}, peer.port))).not.toBe(client);
  });
});
