// Nor does a finally go on.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  try {
    for (;;);
  } finally {
    for (;;);
  }
};
