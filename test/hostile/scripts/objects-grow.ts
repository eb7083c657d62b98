// Objects without end.
// ends: script.heap-limit script.cpu-limit
export const onArrival = (mail) => {
  const all = [];
  for (;;) all.push({ a: [1, 2, 3], b: { c: all.length } });
};
