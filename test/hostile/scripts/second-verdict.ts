// A second verdict, hidden.
// ends: script.action-invalid
export const onArrival = (mail) => {
  mail.refuse("one");
  try {
    mail.settle();
  } catch {}
};
