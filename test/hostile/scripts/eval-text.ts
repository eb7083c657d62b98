// No code from text, the other way.
// ends: script.threw
export const onArrival = (mail) => globalThis.eval("1 + 1");
