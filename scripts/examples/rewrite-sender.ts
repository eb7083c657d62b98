/** Writes the addresses of machines, such as cron@db1.example.test, as addresses of the domain that the world knows. */
import type { ArrivalHandler } from "onarrival";

export const rule = "MAIL FROM=*@*.example.test";
export const priority = 1000;

const outside = (address: string) => address.replace(/@.*\.example\.test$/i, "@example.test");

export const onArrival: ArrivalHandler = (mail) => {
  const { envelope, from } = mail;
  if (envelope.from !== null) envelope.from = outside(envelope.from);
  if (from) mail.from = { name: from.name, address: outside(from.address) };
  mail.headers.remove("Sender");
};
