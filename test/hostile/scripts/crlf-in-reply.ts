// A reply that would be two.
// ends: script.action-invalid
export const onArrival = (mail) => {
  mail.refuse("no\r\n250 yes");
};
