// More fields than any message has.
// ends: script.action-limit script.cpu-limit
export const onArrival = (mail) => {
  for (let i = 0; i < 1_000_000; i++) {
    try {
      mail.headers.add("X-A", String(i));
    } catch {}
  }
};
