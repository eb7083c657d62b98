// A module of Node.
// ends: compile script.import
import { readFileSync } from "node:fs";
export const onArrival = () => readFileSync("/etc/passwd");
