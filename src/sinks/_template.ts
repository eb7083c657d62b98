/** A sink to copy: what it does, in one sentence. Rename the file, the function and the name, keep what you need, and name it in onarrival.toml. */
import { proceed, refuse, type Sink } from "onarrival";

/** What `properties` of its binding may hold. */
export interface TemplateOptions {
  /** Says what it is, with its unit and its bounds. */
  readonly wordsMax?: number;
}

export function template({ wordsMax = 100 }: TemplateOptions = {}): Sink {
  return {
    name: "template",
    onArrival({ message }, { log }) {
      const words = (message.header.get("Subject") ?? "").split(/\s+/).length;
      if (words <= wordsMax) return proceed;
      log.info("template.refused", { message: message.id, words, wordsMax });
      return refuse("The subject is too long");
    },
  };
}
