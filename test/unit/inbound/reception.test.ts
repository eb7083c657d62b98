/** What reception owes a message, whichever engine speaks: see transcripts for what clients hear. */
import { describe, expect, test } from "vitest";
import { Dispatcher } from "../../../src/events/dispatcher.ts";
import type { EventName } from "../../../src/events/event.ts";
import type { ReplySubject } from "../../../src/events/subject.ts";
import { Reception, type ReceptionOptions } from "../../../src/inbound/reception.ts";
import { InboundSession } from "../../../src/inbound/session.ts";
import { createMemorySpool } from "../../../src/spool/memory.ts";
import { createBinding } from "../../support/events.ts";
import { createDispatcher, createListenerOptions, createReceptionOptions } from "../../support/listener.ts";
import { createRecordingLog } from "../../support/recording-log.ts";

const mail = { path: "<ann@example.org>", parameters: new Map(), options: {} };
const rcpt = { path: "<bob@example.test>", parameters: new Map(), options: {} };
const facts = { protocol: "ESMTP", perRecipient: false };

function createSession(): InboundSession {
  return new InboundSession({ listener: "mx", role: "mx", ip: "192.0.2.1", port: 1, startedAt: 0 });
}

async function receive(options: Partial<ReceptionOptions>, session = createSession()) {
  const reception = new Reception(createListenerOptions(), createReceptionOptions(options));
  await reception.mailFrom(session, mail);
  await reception.rcptTo(session, rcpt);
  const receiver = reception.receiveData(session);
  await receiver.write(Buffer.from("Subject: one\r\n\r\ntext\r\n"));
  return await reception.endOfData(session, receiver, facts);
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
