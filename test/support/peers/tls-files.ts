/** The certificate of `localhost` and `127.0.0.1` that servers show in tests; it signs itself, so it is its own authority too. */
import { resolve } from "node:path";

const folder = resolve(import.meta.dirname, "../../fixtures/tls");

export const certificateFile = resolve(folder, "cert.pem");
export const keyFile = resolve(folder, "key.pem");
