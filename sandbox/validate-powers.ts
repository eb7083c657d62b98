/** Checks the calls of an event's powers, as they come from a sandbox process: whether they can be read at all. Which event has them is the writer's to say. */
import type { PowerCall } from "./protocol.ts";
import { list, ProtocolError, record, text } from "./shape-check.ts";

/** Arguments of one call: an expansion names as many recipients. */
const argumentsMax = 1_000;
/** The longest is the text of a report. */
const argumentLengthMax = 65_536;

/** @throws {ProtocolError} */
export function checkPowers(given: unknown, actionsMax: number): readonly PowerCall[] {
  return list(given, actionsMax, "powers").map((call) => {
    const { name, args } = record(call, "power");
    const word = text(name, 40, "power");
    if (!/^[a-z][A-Za-z]*$/.test(word)) throw new ProtocolError("A power with no name");
    return {
      name: word,
      args: list(args, argumentsMax, "arguments").map((one) =>
        one === null ? null : text(one, argumentLengthMax, "argument"),
      ),
    };
  });
}
