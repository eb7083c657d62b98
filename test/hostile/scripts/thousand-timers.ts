// There are none.
// ends: script.threw
export const onArrival = (mail) => {
  for (;;) setTimeout(() => {}, 0);
};
