// A verdict of a run that is stopped is none.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  mail.discard("gone");
  for (;;);
};
