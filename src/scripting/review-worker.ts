/** The thread that reviews scripts. */
import { serveJobs } from "../platform/thread-jobs.ts";
import { type ReviewWork, reviewScript } from "./review.ts";
import type { Finding } from "./review-finding.ts";

serveJobs<ReviewWork, readonly Finding[]>(reviewScript);
