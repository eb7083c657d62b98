/**
 * What travels between the server and a sandbox process: frames of one JSON text and a binary tail each (frame.ts). Between host and child only.
 *
 * A run that is sent is computed in the order of arrival. It is answered by `done`; or it steps aside with `need` (octets of the message) or `calls` (answers of the
 * server), and comes back to the end of the order when one of those is sent. Every `octets` and every `answer` is answered in the same way again.
 */
import type { HostAnswer, HostQuestion } from "./host-call.ts";
import type {
  Effects,
  RunStep,
  ScriptExports,
  ScriptFault,
  ScriptLimits,
  StepResult,
  SubjectInput,
  SubmissionResult,
} from "./protocol.ts";

export type ToChild =
  /** The tail is the code, then the source map. Answered by `loaded` where `warm`; else the script waits for its first run. */
  | {
      readonly t: "load";
      readonly id: number;
      readonly name: string;
      readonly version: string;
      readonly limits: ScriptLimits;
      readonly codeOctets: number;
      readonly warm: boolean;
    }
  | { readonly t: "unload"; readonly version: string }
  /** The tail is the MailInput as JSON (`null` where there is none), then the message's octets where they are sent at once. */
  | {
      readonly t: "run";
      readonly id: number;
      readonly event: string;
      readonly subject: SubjectInput;
      readonly steps: readonly RunStep[];
      /** Faults that are known already, by index of the step: a repeat of a run whose process was killed. */
      readonly faults: Readonly<Record<string, ScriptFault>>;
      readonly stopOnChange: boolean;
      /** Reading this message's text took too long before: it is not tried again. */
      readonly unreadable: boolean;
      readonly mailOctets: number;
      readonly hasOctets: boolean;
    }
  /** The tail is the message: the answer to `need`. */
  | { readonly t: "octets"; readonly id: number }
  /** The answer to one of the `calls` of this attempt; the tail is its body. One to another attempt is not answered again. */
  | {
      readonly t: "answer";
      readonly id: number;
      readonly attempt: number;
      readonly call: number;
      readonly answer: HostAnswer<number>;
      /** What the time is for the script from now on. */
      readonly clock: number;
    }
  /** The run is of no use any more. */
  | { readonly t: "drop"; readonly id: number };

/** A step's result on its way: splices are ranges here, their octets are in the tail, in order. */
export interface StepFrame extends Omit<StepResult, "bindingId" | "version" | "effects"> {
  readonly effects: Omit<Effects, "splices" | "submissions"> & {
    readonly splices?: readonly (readonly [start: number, end: number, octets: number])[];
    /** Their octets are in the tail as well, behind those of the step's splices. */
    readonly submissions?: readonly (Omit<SubmissionResult, "octets"> & { readonly octets: number | null })[];
  };
  /** Whether the script looked inside the message: the octets are sent at once the next time. */
  readonly looked: boolean;
}

export type FromChild =
  | { readonly t: "ready" }
  | {
      readonly t: "loaded";
      readonly id: number;
      readonly exports: ScriptExports | null;
      readonly fault: ScriptFault | null;
    }
  | { readonly t: "need"; readonly id: number }
  /**
   * What the step asks of the server, and steps aside for; none where it waits on for answers it has asked for before, or for its turn in an isolate: then it says `at` when
   * that has come. Bodies are in the tail, in order. `attempt` grows with each attempt at any step; calls are numbered from 1 in each.
   */
  | {
      readonly t: "calls";
      readonly id: number;
      readonly step: number;
      readonly attempt: number;
      readonly calls: readonly { readonly call: number; readonly question: HostQuestion; readonly octets: number }[];
    }
  /** From here on the child is busy with this step of this run; sent where the order of the runs does not tell. */
  | { readonly t: "at"; readonly id: number; readonly step: number; readonly parsing: boolean }
  | { readonly t: "done"; readonly id: number; readonly steps: readonly StepFrame[] };
