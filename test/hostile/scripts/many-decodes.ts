// Asks for decoded fields without end.
// ends: script.action-limit script.cpu-limit
export const onArrival = (mail) => {
  mail.headers.set("Subject", "=?utf-8?q?x?=");
  for (;;) mail.subject;
};
