// The way by a generator.
// ends: script.threw
export const onArrival = (mail) => (function* () {}).constructor("yield process")().next();
