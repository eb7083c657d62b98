// There is no WebAssembly.
// ends: script.threw
export const onArrival = (mail) => {
  new WebAssembly.Memory({ initial: 60_000 });
};
