// Microtasks at the top level.
// ends: load script.cpu-limit script.heap-limit
const again = () => Promise.resolve().then(again);
again();
export const onArrival = () => {};
