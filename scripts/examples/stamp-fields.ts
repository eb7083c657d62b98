/** Believes X- fields of our own users alone: takes them off mail from outside, reads the department, and stamps how the message came in. */
import type { ArrivalHandler } from "onarrival";

export const priority = 500;

const ours = ["X-Department", "X-Came-By"];
const departments = new Set(["sales", "press", "works"]);

export const onArrival: ArrivalHandler = (mail, { log }) => {
  const { user, listener, tls } = mail.session;
  const department = mail.headers.get("X-Department")?.trim().toLowerCase() ?? "";
  for (const name of ours) mail.headers.remove(name);
  mail.headers.add("X-Came-By", `${listener}; ${tls ?? "in the clear"}`);
  if (user === null) return;
  if (!departments.has(department)) return log.info(user, "names no department");
  mail.headers.add("X-Department", department);
  mail.envelope.add(`${department}-log@example.test`);
};
