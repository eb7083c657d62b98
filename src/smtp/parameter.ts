/** Parameters of MAIL and RCPT: those of the extensions we offer, checked. RFC 5321 §4.1.1.11. Pure. */
import type { CommandError, Parameters } from "./command.ts";

/** What is wrong with the parameters of MAIL; null where nothing is. */
export function checkMailParameters(parameters: Parameters, sizeOctetsMax: number): CommandError | null {
  for (const [keyword, value] of parameters) {
    switch (keyword) {
      case "SIZE": // RFC 1870 §6.1
        if (!/^\d{1,20}$/.test(value)) return { code: 501, status: "5.5.4", text: "SIZE needs a number" };
        if (Number(value) > sizeOctetsMax) return { code: 552, status: "5.3.4", text: "The message is too large" };
        break;
      case "BODY": // RFC 6152 §2
        if (!/^(?:7BIT|8BITMIME)$/i.test(value))
          return { code: 501, status: "5.5.4", text: "BODY is 7BIT or 8BITMIME" };
        break;
      case "SMTPUTF8": // RFC 6531 §3.4
        if (value !== "") return { code: 501, status: "5.5.4", text: "SMTPUTF8 takes no value" };
        break;
      case "AUTH": // RFC 4954 §5: read and not believed
        if (value === "") return { code: 501, status: "5.5.4", text: "AUTH needs a value" };
        break;
      default:
        return unknown;
    }
  }
  return null;
}

/** RCPT has none yet. */
export function checkRcptParameters(parameters: Parameters): CommandError | null {
  return parameters.size > 0 ? unknown : null;
}

const unknown: CommandError = { code: 555, status: "5.5.4", text: "A parameter is not known here" };
