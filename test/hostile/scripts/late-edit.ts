// An edit behind the end of the handler.
// ends: script.threw
export const onArrival = (mail) => {
  Promise.resolve().then(() => {
    mail.subject = "late";
  });
};
