// Memory that is kept from run to run.
// ends: script.heap-limit script.cpu-limit
const kept = [];
export const onArrival = (mail) => {
  for (;;) kept.push(new Array(10_000).fill(kept.length));
};
