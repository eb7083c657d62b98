// A module by a name that is made up at run time.
// ends: script.threw
export const onArrival = async (mail) => {
  await import(["node", "fs"].join(":"));
};
