/** Origins as grants name them: `https://directory.example.org`, `https://*.example.org:8443`. A star is every host below, and not the one itself. */

interface Origin {
  readonly scheme: string;
  readonly host: string;
  readonly port: string;
  /** Every host below `host`. */
  readonly below: boolean;
}

/** Whether all that the second one means is meant by the first. What is no origin of http or https covers nothing. */
export function coversOrigin(granted: string, wanted: string): boolean {
  const [wide, narrow] = [parseOrigin(granted), parseOrigin(wanted)];
  if (!wide || !narrow || wide.scheme !== narrow.scheme || wide.port !== narrow.port) return false;
  if (!wide.below) return !narrow.below && wide.host === narrow.host;
  return narrow.host.endsWith(`.${wide.host}`) || (narrow.below && narrow.host === wide.host);
}

function parseOrigin(text: string): Origin | undefined {
  const [, scheme, star, rest] = /^(https?):\/\/(\*\.)?([^*]+)$/i.exec(text) ?? [];
  if (scheme === undefined || rest === undefined || !URL.canParse(`${scheme}://${rest}`)) return undefined;
  const { protocol, hostname, port } = new URL(`${scheme}://${rest}`);
  return {
    scheme: protocol,
    host: hostname.toLowerCase().replace(/\.$/, ""),
    port: port || (protocol === "https:" ? "443" : "80"),
    below: star !== undefined,
  };
}
