// No code from text.
// ends: script.threw
export const onArrival = (mail) => new Function("return globalThis")();
