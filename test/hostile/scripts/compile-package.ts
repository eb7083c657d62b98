// A package.
// ends: compile script.import
import "left-pad";
export const onArrival = () => {};
