// A mail that is used when its run is over.
// ends: script.threw
const kept = [];
export const onArrival = (mail) => {
  if (kept.length > 0) kept[0].subject = "from the grave";
  kept.push(mail);
  if (kept.length === 1) kept[0] = mail;
  kept[0].headers;
  throw new Error("first run is over");
};
