/** Text as octets in the charset a part has, where the text fits it. Reading charsets is content-field.ts. Pure, without tables of our own. */
import { textDecoder } from "./content-field.ts";

const singleOctet = /^(?:iso-?8859-\d{1,2}|windows-125\d|cp125\d|koi8-[ru])$/;
const asciiBasedToo = /^(?:gb2312|gbk|gb18030|big5|euc-(?:jp|kr)|shift_jis)$/;
const tables = new Map<string, ReadonlyMap<string, number> | null>();

/** The octets of a text; undefined where the charset does not have all of its characters, or is one we do not write. */
export function encodeCharset(text: string, charset: string): Buffer | undefined {
  const name = charset.trim().toLowerCase();
  if (/^utf-?8$/.test(name)) return Buffer.from(text);
  if (!/[^\x00-\x7f]/.test(text)) return isAsciiBased(name) ? Buffer.from(text, "latin1") : undefined;
  const table = tableOf(name);
  if (!table) return undefined;
  const octets = Buffer.allocUnsafe(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i) < 0x80 ? text.charCodeAt(i) : table.get(text[i]!);
    if (code === undefined) return undefined;
    octets[i] = code;
  }
  return octets;
}

/** Whether ASCII octets mean ASCII in that charset; the ones that shift or are wide are not. "" is ASCII. */
export function isAsciiBased(charset: string): boolean {
  const name = charset.trim().toLowerCase();
  return /^(?:|us-ascii|ascii|utf-?8)$/.test(name) || singleOctet.test(name) || asciiBasedToo.test(name);
}

/** Characters above ASCII and their octets, found by reading all octets there are. */
function tableOf(name: string): ReadonlyMap<string, number> | null {
  if (!singleOctet.test(name)) return null;
  const known = tables.get(name);
  if (known !== undefined) return known;
  const decoder = textDecoder(name.replace(/^cp(?=125\d$)/, "windows-"));
  const table = new Map<string, number>();
  for (let code = 0x80; decoder && code <= 0xff; code++) {
    // The web reads ISO 8859-1 as Windows-1252; other readers see controls in these octets.
    if (code < 0xa0 && name.startsWith("iso")) continue;
    const character = decoder.decode(Buffer.from([code]));
    if (character.length === 1 && character !== "\ufffd") table.set(character, code);
  }
  tables.set(name, table);
  return table;
}
