// And behind one that waited for the octets.
// ends: script.cpu-limit
export const onArrival = async (mail) => {
  await mail.text();
  for (;;);
};
