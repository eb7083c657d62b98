/** Answers for somebody who is away: each sender once in four days, and never a machine, a list or another answer. */
import type { ArrivalHandler } from "onarrival";

export const rule = "RCPT TO=ann@example.test";
export const grants = { submit: { max: 1 } };
export const onFault = "proceed";

const backAt = new Date("2026-12-07T08:00:00Z");

export const onArrival: ArrivalHandler = (mail, { log }) => {
  if (mail.receivedAt >= backAt) return;
  const id = mail.reply({
    text: "I am away until 7 December. Bob <bob@example.test> reads my mail meanwhile.",
    onceWithin: 4 * 86_400_000,
  });
  if (id === null) log.info("not answered: nobody is waiting for one");
};
