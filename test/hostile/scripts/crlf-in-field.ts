// A field that would be two.
// ends: script.action-invalid
export const onArrival = (mail) => {
  mail.headers.add("X-A", "a\r\nBcc: victim@example.com");
};
