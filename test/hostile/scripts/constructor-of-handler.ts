// The way by a function.
// ends: script.threw
export const onArrival = (mail, { log }) => log.info.constructor("return process")().exit();
