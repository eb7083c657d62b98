// An answer that is too large: of two limits the one that is reached first.
// ends: script.action-limit script.cpu-limit
export const onArrival = (mail) => {
  for (let i = 0; i < 1_000; i++) mail.headers.add("X-A", "0123456789 ".repeat(3_600));
};
