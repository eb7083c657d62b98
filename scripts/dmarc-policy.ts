/** Does with mail that fails DMARC what the domain in its From field asks for; mail that a list we trust has sealed is spared. */
import type { ArrivalHandler } from "onarrival";

// Nothing is asked about mail that was not checked: that of users, and of hosts of our own.
export const rule = "DMARC = fail";
export const priority = 2000;

/** Lists and forwarders that change what they pass on, and say by ARC what it was before. */
const trustedSealers = ["lists.example.net"];

export const onArrival: ArrivalHandler = (mail) => {
  const { auth } = mail.session;
  if (!auth) return;
  const { dmarc, arc } = auth;
  const sealer = arc.result === "pass" ? arc.sealers.at(-1) : undefined;
  if (sealer !== undefined && trustedSealers.includes(sealer)) return;
  if (dmarc.policy === "reject") {
    mail.refuse(`${dmarc.domain} asks to refuse mail that fails DMARC`, { code: 550, status: "5.7.26" });
  } else if (dmarc.policy === "quarantine") mail.quarantine(`fails DMARC of ${dmarc.domain}`);
};
