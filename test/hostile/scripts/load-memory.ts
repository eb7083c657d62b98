// All memory at the top level.
// ends: load script.heap-limit
const all = [];
for (;;) all.push(new Array(1_000_000).fill(0.5));
export const onArrival = () => all;
