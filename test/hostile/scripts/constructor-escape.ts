// The way out of other sandboxes.
// ends: script.threw
export const onArrival = (mail) => this.constructor.constructor("return process")().exit();
