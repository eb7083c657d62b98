// A microtask that makes the next one.
// ends: script.cpu-limit
export const onArrival = (mail) => {
  const again = () => {
    Promise.resolve().then(again);
  };
  again();
};
