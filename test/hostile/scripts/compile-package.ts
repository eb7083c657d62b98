// A package.
// ends: compile script.package
import "left-pad";
export const onArrival = () => {};
