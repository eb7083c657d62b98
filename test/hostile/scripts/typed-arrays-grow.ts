// Memory outside of the heap.
// ends: script.heap-limit script.cpu-limit
export const onArrival = (mail) => {
  const all = [];
  for (;;) all.push(new Uint8Array(16_000_000).fill(1));
};
