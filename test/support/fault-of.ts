/** The Fault some work throws, to be looked at. Anything else it throws goes on; throwing nothing is an error. */
import { Fault } from "../../src/platform/fault.ts";

export function faultOf(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
