// The way by an async function.
// ends: script.threw
export const onArrival = async (mail) => (async () => {}).constructor("return process")();
