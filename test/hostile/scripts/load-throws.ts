// An exception at the top level.
// ends: load script.load
throw new Error("never ready");
export const onArrival = () => {};
