// An address that ends early.
// ends: script.action-invalid
export const onArrival = (mail) => {
  mail.envelope.add("a@example.com\0@example.org");
};
