/** What reception owes a message, whichever engine speaks: see transcripts for what clients hear. */
import { describe, expect, test } from "vitest";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { EventName } from "../../../src/events/event.ts";
import type {
  EndOfDataSubject,
  MailFromSubject,
  MessageSubject,
  RcptToSubject,
  ReplySubject,
} from "../../../src/events/subject.ts";
import { refuse } from "../../../src/events/verdict.ts";
import { Reception, type ReceptionOptions } from "../../../src/inbound/reception.ts";
import { checkMayRecode } from "../../../src/inbound/reply-check.ts";
import { InboundSession } from "../../../src/inbound/session.ts";
import { formatMailbox, parseMailbox } from "../../../src/mail/mailbox.ts";
import type { Message } from "../../../src/mail/message.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createBinding } from "../../support/events.ts";
import { faultOf } from "../../support/fault-of.ts";
import { createDispatcher, createListenerOptions, createReceptionOptions } from "../../support/listener.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const mail = { path: "<ann@example.org>", parameters: new Map(), options: {} };
const rcpt = { path: "<bob@example.test>", parameters: new Map(), options: {} };
const facts = { protocol: "ESMTP", perRecipient: false };

function createSession(): InboundSession {
  return new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.1", port: 1, startedAt: 0 });
}

async function receive(
  options: Partial<ReceptionOptions>,
  session = createSession(),
  { end = facts, to = [rcpt.path] }: { readonly end?: typeof facts; readonly to?: readonly string[] } = {},
) {
  const reception = new Reception(createListenerOptions(), createReceptionOptions(options));
  await reception.mailFrom(session, mail);
  for (const path of to) await reception.rcptTo(session, { ...rcpt, path });
  const receiver = reception.receiveData(session);
  await receiver.write(Buffer.from("Subject: one\r\n\r\ntext\r\n"));
  return await reception.endOfData(session, receiver, end);
}

describe("endOfData", () => {
  test("says 250 to what is in custody, even where the queue cannot be told of it", async () => {
    const log = createRecordingLog();
    const spool = createMemorySpool();
    const enqueue = () => {
      throw new Error("oops");
    };
    expect(await receive({ log, spool, enqueue })).toMatchObject({ answer: { code: 250 }, each: null });
    expect(spool.counts().messages).toBe(1);
    expect(log.of("queue.failed")).toMatchObject([{ fields: { reason: "oops" } }]);
  });

  test("says 250 to what is in custody, even where its arrival cannot be written down", async () => {
    const log = createRecordingLog();
    const spool = createMemorySpool();
    const queued: string[] = [];
    const count = () => {
      throw new Error("oops");
    };
    const enqueue = ({ id }: { readonly id: string }) => void queued.push(id);
    expect(await receive({ log, spool, enqueue, count })).toMatchObject({ answer: { code: 250 } });
    expect([spool.counts().messages, queued.length]).toEqual([1, 1]);
    expect(log.of("queue.failed")).toMatchObject([{ fields: { reason: "oops" } }]);
  });

  test("takes nothing into custody that was given up while it was decided: the client heard 451", async () => {
    const log = createRecordingLog();
    const spool = createMemorySpool();
    const dispatcher = createDispatcher();
    const session = createSession();
    dispatcher.replaceBindings([
      createBinding("onArrival", async () => {
        session.turn++;
      }),
    ]);
    expect(await receive({ log, spool, dispatcher }, session)).toMatchObject({ answer: { code: 451 } });
    expect(spool.counts().messages).toBe(0);
    expect(log.of("message.deferred")).toMatchObject([{ fields: { fault: "decision.timeout" } }]);
  });

  test("asks nobody about what was given up while it was written down", async () => {
    const asked: string[] = [];
    const spool = createMemorySpool();
    const dispatcher = createDispatcher();
    const session = createSession();
    dispatcher.replaceBindings([
      createBinding("onEndOfData", () => void asked.push("onEndOfData")),
      createBinding("onArrival", () => void asked.push("onArrival")),
    ]);
    const createBody = () => {
      const body = spool.createBody();
      const finish = async () => {
        session.turn++;
        return await body.finish();
      };
      return { ...body, finish };
    };
    const end = await receive({ spool: { ...spool, createBody }, dispatcher }, session);
    expect([end.answer.code, spool.counts().messages, asked]).toEqual([451, 0, []]);
  });

  test("what a sink edits when its time is over changes nothing of what is in custody", async () => {
    let seen: Message | undefined;
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onArrival", ({ message }: MessageSubject) => {
        seen = message;
      }),
    ]);
    const queued: Message[] = [];
    await receive({ dispatcher, enqueue: (message) => void queued.push(message) });
    const late = faultOf(() => {
      seen!.envelope = { reversePath: null, recipients: [] };
    });
    expect(late.code).toBe("message.revoked");
    expect(queued[0]!.envelope.recipients).toHaveLength(1);
    expect(seen!.header.get("Subject")).toBe("one");
  });

  test("is marked while a message is on its way into custody, and not before or after", async () => {
    const session = createSession();
    const marks: boolean[] = [];
    const spool = createMemorySpool();
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([createBinding("onArrival", () => void marks.push(session.taking))]);
    const watched = { ...spool, accept: async () => void marks.push(session.taking) };
    await receive({ spool: watched, dispatcher }, session);
    expect([...marks, session.taking]).toEqual([false, true, false]);
  });
});

describe("answerRecipient", () => {
  const [bob, cy, dan] = ["bob@example.test", "cy@example.test", "dan@example.test"] as const;

  /** Where `bob@example.test` is answered by a sink behind one that made this of the envelope. */
  async function answered(to: readonly string[], times = 1) {
    const delivered: string[][] = [];
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onEndOfData", ({ message }: EndOfDataSubject) => {
        const recipients = to.map((text) => ({ mailbox: parseMailbox(text) }));
        message.envelope = { ...message.envelope, recipients };
      }),
      createBinding(
        "onEndOfData",
        ({ answerRecipient }: EndOfDataSubject) => {
          for (let i = 0; i < times; i++) answerRecipient(parseMailbox(bob), refuse("not him"));
        },
        { onFault: "proceed" },
      ),
    ]);
    const enqueue = ({ envelope }: Message) => {
      delivered.push(envelope.recipients.map(({ mailbox }) => formatMailbox(mailbox)));
    };
    const end = await receive({ dispatcher, enqueue }, createSession(), {
      end: { ...facts, perRecipient: true },
      to: ["<bob@example.test>", "<dan@example.test>"],
    });
    return { codes: end.each!.map(({ code }) => code), delivered };
  }

  test.each<readonly [why: string, to: readonly string[], times: number, codes: number[], delivered: string[][]]>([
    ["a recipient is refused and gets nothing", [bob, dan], 1, [550, 250], [[dan]]],
    ["once more, and the last word counts", [bob, dan], 2, [550, 250], [[dan]]],
    ["whose mail goes elsewhere by now is no recipient", [cy, dan], 1, [250, 250], [[cy, dan]]],
  ])("%s", async (_why, to, times, codes, delivered) => {
    expect(await answered(to, times)).toEqual({ codes, delivered });
  });
});

describe("rcptTo", () => {
  test.each([
    ["different recipients", (n: number) => `<bob${n}@example.test>`],
    ["the same recipient again and again", () => "<bob@example.test>"],
  ])("takes as many RCPTs as it has room for, and no more: %s", async (_why, path) => {
    const options = createListenerOptions({ limits: { recipientsMax: 3 } });
    const reception = new Reception(options, createReceptionOptions());
    const session = createSession();
    await reception.mailFrom(session, mail);
    const codes: number[] = [];
    for (let n = 0; n < 5; n++) codes.push((await reception.rcptTo(session, { ...rcpt, path: path(n) })).code);
    expect(codes).toEqual([250, 250, 250, 452, 452]);
    expect(session.transaction!.rcpts).toHaveLength(3);
  });
});

test("as what a sink takes a recipient goes with him", async () => {
  const dispatcher = createDispatcher();
  dispatcher.replaceBindings([createBinding("onRcptTo", ({ accept }: RcptToSubject) => accept("local"))]);
  const reception = new Reception(createListenerOptions(), createReceptionOptions({ dispatcher }));
  const session = createSession();
  await reception.mailFrom(session, mail);
  await reception.rcptTo(session, rcpt);
  expect(session.transaction!.envelopeRecipients).toMatchObject([{ options: { accepted: "local" } }]);
});

describe("rewrite", () => {
  const rewrites = [
    ["a line end in it", { localPart: "a\r\nDATA", domain: "x.example" }],
    ["no local part", { localPart: "", domain: "x.example" }],
    ["a domain that is none", { localPart: "a", domain: "x example" }],
  ] as const;
  test.each(rewrites)("takes no mailbox with %s", async (_why, mailbox) => {
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onMailFrom", ({ rewrite }: MailFromSubject) => rewrite(mailbox), { onFault: "proceed" }),
      createBinding("onRcptTo", ({ rewrite }: RcptToSubject) => rewrite(mailbox), { onFault: "proceed" }),
    ]);
    const reception = new Reception(createListenerOptions(), createReceptionOptions({ dispatcher }));
    const session = createSession();
    await reception.mailFrom(session, mail);
    await reception.rcptTo(session, rcpt);
    const { reversePath, recipients } = session.transaction!;
    expect([reversePath, ...recipients].map((one) => formatMailbox(one!))).toEqual([
      "ann@example.org",
      "bob@example.test",
    ]);
  });

  test("a domain is compared as any other, however the sink wrote it", async () => {
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([
      createBinding("onRcptTo", ({ rewrite }: RcptToSubject) => rewrite({ localPart: "Cy", domain: "X.Example" })),
    ]);
    const reception = new Reception(createListenerOptions(), createReceptionOptions({ dispatcher }));
    const session = createSession();
    await reception.mailFrom(session, mail);
    await reception.rcptTo(session, rcpt);
    expect(session.transaction!.recipients).toEqual([{ localPart: "Cy", domain: "x.example" }]);
  });
});

describe("xclient", () => {
  test("leaves nothing of the client before: neither what it said nor what sinks noted of it", async () => {
    const session = createSession();
    const reception = new Reception(createListenerOptions(), createReceptionOptions());
    await reception.helo(session, { verb: "EHLO", name: "before.example", keywords: [] });
    session.notes.set("listed", true);
    session.user = "ann";
    await reception.xclient(session, new Map([["ADDR", "192.0.2.7"]]));
    expect([session.ip, session.helo, session.user, session.notes.size]).toEqual(["192.0.2.7", "", null, 0]);
    expect(session.peer.ip).toBe("192.0.2.1");
  });
});

describe("reply", () => {
  const refuseRcpt = async (subject: unknown) => {
    const { verb, setCode } = subject as ReplySubject;
    await Promise.resolve();
    if (verb === "RCPT") setCode(550);
  };
  const said = { code: 250, status: "2.1.5", text: "Recipient accepted" };

  test.each([
    ["in time: the recipient goes", false, 550, 0],
    ["too late: the client has heard 250, and the recipient stays", true, 250, 1],
  ])("a sink makes a reply stricter %s", async (_why, late, code, recipients) => {
    const dispatcher = createDispatcher();
    dispatcher.replaceBindings([createBinding("onReply", refuseRcpt)]);
    const reception = new Reception(createListenerOptions(), createReceptionOptions({ dispatcher }));
    const session = createSession();
    await reception.mailFrom(session, mail);
    await reception.rcptTo(session, { ...rcpt, path: "<bob@example.org>" });
    const replied = reception.reply(session, "RCPT", said);
    if (late) session.turn++;
    expect(await replied).toMatchObject({ code });
    expect(session.transaction?.recipients).toHaveLength(recipients);
  });
});

describe("checkMayRecode", () => {
  test.each<readonly [why: string, verb: string, from: number, to: number, allowed: boolean]>([
    ["what is in custody stays so", "_EOD", 250, 450, false],
    ["the replies for each recipient are on their way behind it", "_EOD", 353, 450, false],
    ["a chunk is taken", "BDAT", 250, 550, false],
    ["no data came yet", "DATA", 354, 450, true],
    ["a refusal may be a harder one", "_EOD", 450, 550, true],
    ["never looser", "_EOD", 550, 450, false],
  ])("%s", (_why, verb, from, to, allowed) => {
    const check = () => checkMayRecode(verb, from, to);
    if (allowed) expect(check).not.toThrow();
    else expect(check).toThrow(/Cannot make/);
  });
});

describe("what is not bound costs nothing", () => {
  test("every step but the last answers without a promise", () => {
    const reception = new Reception(createListenerOptions(), createReceptionOptions());
    const session = createSession();
    const answers = [
      reception.connect(session),
      reception.helo(session, { verb: "EHLO", name: "client.example", keywords: ["SIZE 1"] }),
      reception.mailFrom(session, mail),
      reception.rcptTo(session, rcpt),
      reception.data(session),
    ];
    expect(answers.some((answer) => answer instanceof Promise)).toBe(false);
  });

  test("no event is asked or told of that nobody is bound to", async () => {
    const asked: EventName[] = [];
    class Watched extends Dispatcher {
      override ask(...words: Parameters<Dispatcher["ask"]>): ReturnType<Dispatcher["ask"]> {
        asked.push(words[0]);
        return super.ask(...words);
      }
      override tell(...words: Parameters<Dispatcher["tell"]>): void {
        asked.push(words[0]);
        super.tell(...words);
      }
    }
    const { log, clock } = createReceptionOptions();
    const dispatcher = new Watched({ log, clock, scripts: { run: () => Promise.reject(new Error("none")) } });
    expect(await receive({ dispatcher })).toMatchObject({ answer: { code: 250 } });
    // The relay control is always bound, and somebody to onArrival as good as always.
    expect(asked).toEqual(["onRcptTo", "onArrival"]);
  });
});
