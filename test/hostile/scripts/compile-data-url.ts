// Code from a URL that holds it.
// ends: compile script.import
import "data:text/javascript,1";
export const onArrival = () => {};
