/** What the benchmark asks of a mail server: be there, relay everything to the sink, add one field, and say which processes are its own. */

export interface Contender {
  readonly name: string;
  /** Version and the settings that matter, in one line. */
  readonly facts: string;
  /** What is missing to run it, or undefined. */
  readonly missing: string | undefined;
  /** Starts it in `folder`, relaying to the sink. It takes mail for `example.net` once this resolves. */
  start(options: { readonly folder: string; readonly sinkPort: number }): Promise<RunningContender>;
}

export interface RunningContender {
  readonly port: number;
  /** Processes whose CPU counts, each with all below it. */
  readonly processes: readonly number[];
  stop(): Promise<void>;
}

/** The field every contender adds, with the subject as its value. */
export const benchField = "X-Bench";
export const benchSender = "sender@example.org";
export const benchRecipient = "recipient@example.net";
