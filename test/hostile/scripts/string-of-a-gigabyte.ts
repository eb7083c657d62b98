// A string longer than any.
// ends: script.heap-limit script.threw
export const onArrival = (mail) => {
  let s = "x";
  for (;;) s += s;
};
