// Code from somewhere else.
// ends: compile script.import
import "https://example.com/x.js";
export const onArrival = () => {};
