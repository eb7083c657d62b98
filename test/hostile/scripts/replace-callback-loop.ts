// Another.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  "x".replace(/x/, () => {
    for (;;);
  });
};
