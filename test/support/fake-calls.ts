/** Answers to what scripts ask of the server, given by hand, and what was asked. */
import type { Asker, HostAnswer, HostCalls, HostQuestion } from "../../sandbox/host-call.ts";

export interface FakeCalls extends HostCalls {
  readonly asked: {
    readonly asker: Asker;
    readonly question: HostQuestion;
    readonly body: string | null;
    readonly signal: AbortSignal;
  }[];
}

type Answering = (question: HostQuestion, signal: AbortSignal) => HostAnswer | Promise<HostAnswer>;

/** Without `answering` the value is the count of what was asked before. */
export function createFakeCalls(answering?: Answering): FakeCalls {
  const asked: FakeCalls["asked"][number][] = [];
  return {
    asked,
    async answer(asker, question, body, signal) {
      asked.push({ asker, question, body: body && Buffer.from(body).toString(), signal });
      return answering ? await answering(question, signal) : { ok: true, value: asked.length - 1 };
    },
  };
}

/** An answer that is given later. */
export function laterAnswer(): { readonly promise: Promise<HostAnswer>; give(value: string | number): void } {
  const { promise, resolve } = Promise.withResolvers<HostAnswer>();
  return { promise, give: (value) => resolve({ ok: true, value }) };
}
