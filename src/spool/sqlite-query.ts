/** Listings of the spool: pages of all of it, and of what is selected, oldest first. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { fillPage } from "./page.ts";
import type { PageStart, SpoolPage, SpoolSelection } from "./selection.ts";
import { isRecipientMeant } from "./selection-match.ts";
import type { QueueEntry, SelectedEntry } from "./spool.ts";
import type { Selected } from "./sqlite-protocol.ts";
import { entryOf, type Row } from "./sqlite-rows.ts";

const columns = "m.key, m.id, m.received_at, m.size_octets, m.reverse_local, m.reverse_domain";

export function createQueries(database: DatabaseSync) {
  // SQLite's own lower() knows ASCII alone.
  database.function("lower_text", { deterministic: true }, (text) => String(text).toLowerCase());
  const selectPage = database.prepare(
    `SELECT ${columns} FROM message m WHERE (m.received_at, m.id) > (?, ?) ORDER BY m.received_at, m.id LIMIT ?`,
  );
  const selectRecipients = database.prepare("SELECT * FROM recipient WHERE message_key = ? ORDER BY place");

  return {
    list(limit?: number, after?: PageStart): QueueEntry[] {
      const rows = selectPage.all(...startOf(after), limit ?? -1);
      const read = (row: Row) => entryOf(row, selectRecipients.all(Number(row.key)));
      return limit === undefined ? rows.map(read) : fillPage(rows, read);
    },
    query(selection: SpoolSelection, page: SpoolPage): Selected {
      const { text, values } = conditionsOf(selection);
      const select = `SELECT ${columns} FROM message m WHERE ${text}`;
      const order = "ORDER BY m.received_at, m.id";
      let rows: Row[];
      let total = 0;
      if ("offset" in page) {
        const found = database.prepare(`${select} ${order}`).all(...values);
        total = found.length;
        rows = found.slice(page.offset, page.offset + page.limit);
      } else {
        rows = database
          .prepare(`${select} AND (m.received_at, m.id) > (?, ?) ${order} LIMIT ?`)
          .all(...values, ...startOf(page.after), page.limit);
      }
      const among = selection.among && new Set(selection.among.map(([id, place]) => `${id} ${place}`));
      const entries = fillPage(rows, (row): SelectedEntry => {
        const entry = entryOf(row, selectRecipients.all(Number(row.key)));
        const meant = entry.recipients
          .filter((recipient) => isRecipientMeant(selection, recipient))
          .map(({ index }) => index)
          .filter((place) => !among || among.has(`${entry.messageId} ${place}`));
        return { ...entry, meant };
      });
      return { entries, total };
    },
  };
}

function startOf(after: PageStart | undefined): [number, string] {
  return after ? [after.receivedAt, after.messageId] : [Number.MIN_SAFE_INTEGER, ""];
}

/** Conditions on the message, and that it has a recipient who is meant; as isRecipientMeant and isSenderMeant say them. */
function conditionsOf(selection: SpoolSelection): { readonly text: string; readonly values: SQLInputValue[] } {
  const { ids, sender, receivedBefore, receivedAfter, domain, recipient, state, among } = selection;
  const values: SQLInputValue[] = [];
  const all: string[] = [];
  const must = (target: string[], text: string, ...given: SQLInputValue[]) => {
    target.push(text);
    values.push(...given);
  };
  if (ids) must(all, "m.id IN (SELECT value FROM json_each(?))", JSON.stringify(ids));
  if (sender === null) must(all, "m.reverse_local IS NULL");
  else if (sender) {
    must(all, "m.reverse_domain = ?", sender.domain);
    if (sender.localPart !== null) must(all, "lower_text(m.reverse_local) = ?", sender.localPart.toLowerCase());
  }
  if (receivedBefore !== undefined) must(all, "m.received_at < ?", Math.ceil(receivedBefore));
  if (receivedAfter !== undefined) must(all, "m.received_at > ?", Math.floor(receivedAfter));
  const one = ["r.message_key = m.key", "r.state = 'queued'"];
  if (domain?.startsWith(".")) must(one, "substr(r.domain, -length(?)) = ?", domain, domain);
  else if (domain !== undefined) must(one, "r.domain = ?", domain);
  if (recipient)
    must(one, "r.domain = ? AND lower_text(r.local_part) = ?", recipient.domain, recipient.localPart.toLowerCase());
  if (state === "held") must(one, "r.held_by IS NOT NULL");
  else if (state) must(one, `r.held_by IS NULL AND r.attempts ${state === "new" ? "= 0" : "> 0"}`);
  if (among) {
    const pairs = "SELECT value ->> '$[0]', value ->> '$[1]' FROM json_each(?)";
    must(one, `(m.id, r.place) IN (${pairs})`, JSON.stringify(among));
  }
  all.push(`EXISTS (SELECT 1 FROM recipient r WHERE ${one.join(" AND ")})`);
  return { text: all.join(" AND "), values };
}
