// The same without its prefix.
// ends: compile script.import
import("fs");
export const onArrival = () => {};
