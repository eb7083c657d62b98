// An error is asked for its message.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  throw {
    get message() {
      for (;;);
    },
  };
};
