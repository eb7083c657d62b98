// A loop inside of a built-in function.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  [3, 2, 1].sort(() => {
    for (;;);
  });
};
