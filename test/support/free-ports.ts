/** TCP ports of the loopback address that nobody listens on now. */
import { createServer } from "node:net";

export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((done, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port)); // A TCP listener has an address with a port.
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
