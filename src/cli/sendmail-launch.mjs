#!/usr/bin/env node
/**
 * `onarrival-sendmail`: stands in for /usr/sbin/sendmail, and for mailq and newaliases where it is linked under these names. The same program as
 * `onarrival sendmail`.
 */
import { basename } from "node:path";

const asCalled = { mailq: ["-bp"], newaliases: ["-bi"] }[basename(process.argv[1] ?? "")] ?? [];
process.argv.splice(2, 0, "sendmail", ...asCalled);
await import("./launch.mjs");
