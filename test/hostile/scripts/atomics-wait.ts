// There is nothing to wait on.
// ends: script.threw
export const onArrival = (mail) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
};
