// An array with a length of its own.
// ends: script.wall-limit script.cpu-limit script.heap-limit
export const onArrival = (mail) => {
  const list = [];
  list.length = 4_294_967_295;
  return list.fill(0).length;
};
