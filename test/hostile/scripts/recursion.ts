// The stack ends, and that is an exception.
// ends: script.threw
export const onArrival = (mail) => {
  const down = () => down() + 1;
  down();
};
