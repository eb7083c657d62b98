// Catching what a first look at the body throws does not hide that it looked.
// ends: harmless
export const onArrival = async (mail) => {
  let text = "none";
  try {
    text = await mail.text();
  } catch {}
  mail.headers.set("X-Text", text.trim());
};
