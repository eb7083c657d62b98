// Code that says it is another file.
// ends: script.threw
export const onArrival = (mail) => {
  throw new Error("named elsewhere");
};
//# sourceURL=/etc/passwd
