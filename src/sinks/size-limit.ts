/** Refuses messages above a size: by what the client announces, before it sends anything, and by what came. RFC 1870 §6. */
import type { Sink, SinkContext } from "../events/sink.ts";
import type { Transaction } from "../events/subject.ts";
import { proceed, refuse, type Verdict } from "../events/verdict.ts";
import type { Message } from "../mail/message.ts";
import { size } from "../platform/value.ts";
import { property, requiredProperty, type ValuesOf } from "./property.ts";
import { replyText } from "./property-kind.ts";

export const sizeLimitProperties = {
  size_max: requiredProperty(size({ min: 1, max: 2 ** 40 }), "Largest message that is taken."),
  text: property(replyText, "The message is too large", "What the client is told."),
};

export function sizeLimit({ size_max: sizeOctetsMax, text }: ValuesOf<typeof sizeLimitProperties>): Sink {
  const tooLarge = refuse(text, { code: 552, status: "5.3.4" });
  const judge = (sizeOctets: number | undefined, id: string | undefined, { log }: SinkContext): Verdict => {
    // RFC 1870 §5: SIZE=0 says that the size is not known.
    if (sizeOctets === undefined || sizeOctets <= sizeOctetsMax) return proceed;
    log.info("size-limit.refused", { message: id, sizeOctets, sizeOctetsMax });
    return tooLarge;
  };
  const announced = ({ options }: Transaction) => options.sizeOctets;
  return {
    name: "size-limit",
    onMailFrom: ({ options }, context) => judge(options.sizeOctets, undefined, context),
    onRcptTo: ({ transaction }, context) => judge(announced(transaction), transaction.id, context),
    onEndOfData: ({ message }, context) => judge(sizeAsSent(message), message.id, context),
    onArrival: ({ message }, context) => judge(sizeAsSent(message), message.id, context),
  };
}

/** What the client sent: the trace field on top is ours, and no client can reckon with it. RFC 5321 §4.4. */
function sizeAsSent(message: Message): number {
  const trace = message.header.fields.find(({ name }) => name === "Received");
  return message.sizeOctets - (trace?.octets.length ?? 0);
}
