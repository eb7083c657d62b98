// Arrays, a large one after the other.
// ends: script.heap-limit script.cpu-limit
export const onArrival = (mail) => {
  const all = [];
  for (;;) all.push(new Array(1_000_000).fill(0.5));
};
