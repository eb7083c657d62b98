// A promise that fails while nobody looks.
// ends: script.threw
export const onArrival = (mail) => {
  Promise.reject(new Error("unseen"));
};
