/** A native sink that refuses the message for recipients named `refused`, and only for them, where the client can be told so. For tests. */
import type { Sink } from "../../../src/events/sink.ts";
import { refuse } from "../../../src/events/verdict.ts";

export const picky: Sink = {
  name: "picky",
  onEndOfData(subject) {
    if (!subject.perRecipient) return;
    for (const { mailbox } of subject.message.envelope.recipients)
      if (mailbox.localPart === "refused") subject.answerRecipient(mailbox, refuse("Not this one"));
  },
};
